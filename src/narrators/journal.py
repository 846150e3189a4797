"""A narratives file as it grows: a video at a time, each on the disk before the next, whatever kills the run."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from src.data.narratives import read_narratives, to_line
from src.errors import UserError
from src.files import parse_json, read_lines
from src.growing import append, cut_torn_line, differences, open_to_append
from src.narrators.narrator import Failure, Outcome
from src.narrators.sources import Source
from src.videos.collection import Item


class Journal:
    """The narratives file at `path` and the failures file beside it, open for one run; and a file that says which video
    files they are of.

    A last line that was torn when a run was killed is cut off, and its video narrated again. So is a video that failed
    and whose file is another one now.

    Args:
        path: The narratives file; made if need be.
        writer: What writes this run's records; what the file holds already must be by the same.
        retry_failed: Whether the failures of earlier runs are forgotten.
        items: The videos of this run.

    Raises:
        UserError: Another run has the file open, another writer wrote in it, a line of it is damaged, or the narratives
            in it are of other files than those of `items`.
    """

    def __init__(self, path: Path, writer: dict[str, Any], retry_failed: bool, items: Iterable[Item] = ()) -> None:
        self.path = path
        self.failures_path = failures_file(path)
        self._paths = {video: file for video, file in items if file is not None}
        self._lines = open_to_append(path)
        try:
            cut_torn_line(self._lines, path)
            self.done = _require_writer(path, writer)
            self._failures = open_to_append(self.failures_path)
            cut_torn_line(self._failures, self.failures_path)
            if retry_failed:
                self._failures.truncate(0)
            self._sources = open_to_append(sources_file(path))
            cut_torn_line(self._sources, sources_file(path))
            known = read_sources(sources_file(path))
            changed = {video for video, file in self._paths.items() if video in known and not known[video].is_at(file)}
            _refuse_changed(changed & self.done, path, self._paths)
            every = read_failures(self.failures_path)
            self.failed = {video: why for video, why in every.items() if video not in self.done | changed}
        except BaseException:
            self.close()
            raise

    def append(self, outcome: Outcome) -> None:
        """Write one outcome, and return once it is on the disk.

        Raises:
            UserError: It cannot be written.
        """
        file = self._paths.get(outcome.video)
        if file is not None and (source := Source.of(file)) is not None:
            append(self._sources, {"video": outcome.video, **source._asdict()})
        if isinstance(outcome, Failure):
            append(self._failures, {"video": outcome.video, "reason": outcome.reason})
            self.failed[outcome.video] = outcome.reason
        else:
            append(self._lines, to_line(outcome))
            self.done.add(outcome.video)

    def close(self) -> None:
        for name in ("_lines", "_failures", "_sources"):
            if hasattr(self, name):
                getattr(self, name).close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the narratives file at `path` as a run does that writes it, to put another in its place.

    Raises:
        UserError: A run has it open.
    """
    there = path.is_file()
    file = open_to_append(path)
    try:
        yield
    finally:
        if (
            not there
            and os.fstat(file.fileno()).st_size == 0
            and os.path.samestat(os.fstat(file.fileno()), path.stat())
        ):
            path.unlink()
        file.close()


def failures_file(path: Path) -> Path:
    """The failures file of the narratives file at `path`: JSON Lines of {"video", "reason"}."""
    return path.with_suffix(".failures.jsonl")


def read_failures(path: Path) -> dict[str, str]:
    """The reason for each video of a failures file; none if there is no such file."""
    if not path.is_file():
        return {}
    failures = {}
    for where, _, line in read_lines(path):
        record = parse_json(line, where)
        if not isinstance(record, dict) or not {"video", "reason"} <= record.keys():
            raise UserError(f"{where}: not a failure with its video and reason")
        failures[str(record["video"])] = str(record["reason"])
    return failures


def sources_file(path: Path) -> Path:
    """The file beside the narratives file at `path` that says which video files they are of: JSON Lines of {"video",
    "size", "modified", "digest"}, of which the last one of a video counts."""
    return path.with_suffix(".sources.jsonl")


def read_sources(path: Path) -> dict[str, Source]:
    """The file of each video; none if there is no such file."""
    if not path.is_file():
        return {}
    sources = {}
    for where, _, line in read_lines(path):
        record = parse_json(line, where)
        try:
            video = str(record.pop("video"))
            sources[video] = Source(**record)
        except (AttributeError, KeyError, TypeError) as error:
            raise UserError(f"{where}: not a video with the size, time and digest of its file") from error
    return sources


def _refuse_changed(changed: Collection[str], path: Path, files: Mapping[str, Path]) -> None:
    if changed:
        such = files[min(changed)]
        raise UserError(
            f"{path} has narratives of {len(changed)} videos whose files are others now, such as {such}: give "
            "output=FILE for the videos of another folder; to narrate replaced ones again, delete their lines"
        )


def _require_writer(path: Path, writer: dict[str, Any]) -> set[str]:
    """The videos of the file, all by `writer`."""
    # As a file would give it back: a tuple is a list there.
    writer = json.loads(json.dumps(writer))
    done = set()
    for narratives in read_narratives(path):
        if narratives.writer != writer:
            raise UserError(
                f"{path} was written with other settings ({differences(narratives.writer, writer)}): "
                "give output=FILE for another file, or the settings of this one"
            )
        done.add(narratives.video)
    return done
