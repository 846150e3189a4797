"""A collection split over machines, and the files of its parts joined into one."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from src.data.narratives import parse
from src.data.records import Narratives
from src.errors import UserError
from src.files import parse_json, read_lines, whole
from src.growing import differences
from src.narrators.journal import alone, failures_file, read_failures, read_sources, sources_file

# The files beside those of narratives.
_BESIDE = (".failures.jsonl", ".sources.jsonl")


class _Line(NamedTuple):
    """Where the narratives of a video stand."""

    file: Path
    offset: int
    length: int

    def read(self) -> bytes:
        with self.file.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.length)


def merge(patterns: Sequence[str], output: Path, videos: Collection[str]) -> dict[str, str]:
    """Join narratives files into one, in the order of the videos' ids; return the reasons for those that failed.

    Args:
        patterns: The paths of the files, or patterns such as `llava_13b.*-of-4.jsonl`.
        output: The file to write, and beside it the failures file. If it is there, nothing in it may be lost.
        videos: The ids of the whole collection.

    Raises:
        UserError: No such files; two models, prompts or settings; a video that is there twice, that does not belong to
            the collection, or that was neither narrated nor failed; or `output` holds other narratives,
            or a run is writing it.
    """
    with alone(output):
        return _merge(patterns, output, videos)


def _merge(patterns: Sequence[str], output: Path, videos: Collection[str]) -> dict[str, str]:
    parts = [path for path in _files(patterns) if os.path.realpath(path) != os.path.realpath(output)]
    lines = _lines(parts)
    failures = {video: reason for path in parts for video, reason in read_failures(failures_file(path)).items()}
    failures = {video: reason for video, reason in sorted(failures.items()) if video not in lines}
    wanted = set(videos)
    _refuse(lines.keys() - wanted, f"of {len(lines)} videos in {_named(parts)} do not belong to the collection")
    _refuse(
        wanted - lines.keys() - failures.keys(),
        f"of {len(wanted)} videos are in none of {_named(parts)}: narrate all shards to their end first",
    )
    if output.is_file():
        kept = _lines([output])
        lost = {video for video, line in kept.items() if video not in lines or line.read() != lines[video].read()}
        _refuse(lost, f"of {len(kept)} videos in {output} have other narratives there: give output=FILE for a new file")
    with whole(output) as temporary, temporary.open("wb") as file:
        for video in sorted(lines):
            file.write(lines[video].read())
    with whole(failures_file(output)) as temporary, temporary.open("w", encoding="utf-8") as listed:
        for video, reason in failures.items():
            listed.write(json.dumps({"video": video, "reason": reason}, ensure_ascii=False) + "\n")
    sources = {video: one for path in parts for video, one in read_sources(sources_file(path)).items()}
    with whole(sources_file(output)) as temporary, temporary.open("w", encoding="utf-8") as listed:
        for video, source in sorted(sources.items()):
            listed.write(json.dumps({"video": video, **source._asdict()}, ensure_ascii=False) + "\n")
    return failures


def _files(patterns: Sequence[str]) -> list[Path]:
    files: list[Path] = []
    for pattern in patterns:
        found = sorted(Path(name) for name in glob.glob(pattern) if not name.endswith(_BESIDE))
        if not found:
            raise UserError(f"no narratives files at {pattern}")
        files += [path for path in found if path not in files]
    return files


def _lines(files: Sequence[Path]) -> dict[str, _Line]:
    """Where each video stands; all of them by one writer."""
    first: Narratives | None = None
    lines: dict[str, _Line] = {}
    for path in files:
        for line, narratives in _records(path):
            first = first or narratives
            if narratives.writer != first.writer:
                raise UserError(
                    f"{path} and {lines[first.video].file} have other settings "
                    f"({differences(narratives.writer, first.writer)}): they cannot be one file"
                )
            if narratives.video in lines:
                raise UserError(f"video {narratives.video} is in {lines[narratives.video].file} and again in {path}")
            lines[narratives.video] = line
    return lines


def _records(path: Path) -> Iterator[tuple[_Line, Narratives]]:
    for where, offset, line in read_lines(path):
        if not line.endswith(b"\n"):
            raise UserError(f"{where} is torn: narrate that shard to its end first")
        yield _Line(path, offset, len(line)), parse(parse_json(line, where), where)


def _refuse(videos: Collection[str], problem: str) -> None:
    if videos:
        raise UserError(f"{len(videos)} {problem} (such as {min(videos)})")


def _named(files: Sequence[Path]) -> str:
    return str(files[0]) if len(files) == 1 else f"{len(files)} files such as {files[0]}"
