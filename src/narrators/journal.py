"""A narratives file as it grows: a video at a time, each on the disk before the next, whatever kills the run."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from src.data.narratives import read_narratives, to_line
from src.errors import UserError
from src.files import parse_json, read_lines, writing
from src.narrators.narrator import Failure, Outcome

_log = logging.getLogger(__name__)


class Journal:
    """The narratives file at `path` and the failures file beside it, open for one run.

    A last line that was torn when a run was killed is cut off, and its video narrated again.

    Args:
        path: The narratives file; made if need be.
        writer: What writes this run's records; what the file holds already must be by the same.
        retry_failed: Whether the failures of earlier runs are forgotten.

    Raises:
        UserError: Another run has the file open, another writer wrote in it, or a line of it is damaged.
    """

    def __init__(self, path: Path, writer: dict[str, Any], retry_failed: bool) -> None:
        self.path = path
        self.failures_path = failures_file(path)
        self._lines = _open(path)
        try:
            _repair(self._lines, path)
            self.done = _require_writer(path, writer)
            self._failures = _open(self.failures_path)
            _repair(self._failures, self.failures_path)
            if retry_failed:
                self._failures.truncate(0)
            self.failed = read_failures(self.failures_path)
        except BaseException:
            self.close()
            raise

    def append(self, outcome: Outcome) -> None:
        """Write one outcome, and return once it is on the disk."""
        if isinstance(outcome, Failure):
            record = {"video": outcome.video, "reason": outcome.reason}
            _append(self._failures, json.dumps(record, ensure_ascii=False) + "\n")
            self.failed[outcome.video] = outcome.reason
        else:
            _append(self._lines, to_line(outcome))
            self.done.add(outcome.video)

    def close(self) -> None:
        # What was appended is on the disk: a full one has nothing new to say.
        for file in (self._lines, *((self._failures,) if hasattr(self, "_failures") else ())):
            with contextlib.suppress(OSError):
                file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


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


def differences(one: dict[str, Any], other: dict[str, Any]) -> str:
    """What two writers differ in, for a message."""
    keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    return ", ".join(f"{key} {one.get(key)!r} and {other.get(key)!r}" for key in keys)


def _open(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): give another place with output=FILE") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise UserError(f"another run is writing {path}: wait for it, or give output=FILE or shard=i/n") from None
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)  # the file's name too must outlive a power cut
    os.close(folder)
    return file


def _repair(file: BinaryIO, path: Path) -> None:
    size = path.stat().st_size
    whole = _end_of_last_line(path, size)
    if whole < size:
        file.truncate(whole)
        os.fsync(file.fileno())
        _log.warning("%s: its last line was torn (%d bytes): cut off, that video is done again", path, size - whole)


def _end_of_last_line(path: Path, size: int) -> int:
    block = 2**16
    with path.open("rb") as file:
        for start in range(max(size - block, 0), -block, -block):
            file.seek(max(start, 0))
            found = file.read(block).rfind(b"\n")
            if found >= 0:
                return max(start, 0) + found + 1
    return 0


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


def _append(file: BinaryIO, line: str) -> None:
    with writing(Path(file.name)):
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())
