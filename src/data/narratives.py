"""Narratives files: JSON Lines, one video a line: {"video", "times", "texts", "writer"}, and "repeated" where a
narrator left out frames."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from src.data.records import Narratives
from src.errors import UserError
from src.files import is_number, read_records, whole


def read_narratives(path: Path) -> Iterator[Narratives]:
    """Read a narratives file, a video at a time.

    Raises:
        UserError: no such file; or, with file and line, a record that breaks the rules of `Narratives`, or a video
            that was there before.
    """
    if missing := missing_narratives(path):
        raise UserError(missing[0])
    yield from read_records(path, parse, lambda one: one.video)


def missing_narratives(path: Path) -> list[str]:
    """What to do about a narratives file that does not exist; nothing if it does."""
    if path.is_file():
        return []
    return [
        f"no narratives at {path}: write them with python -m src.narrate, or take in captions that exist with "
        "python -m src.prepare import_narratives=PATH narrator=imported narrator.name=NAME"
    ]


def parse(record: Any, where: str) -> Narratives:
    """Check one record and make it `Narratives`. `where` names it in a UserError."""
    if not isinstance(record, dict) or not {"video", "times", "texts"} <= record.keys():
        raise UserError(f"{where}: a record needs video, times and texts")
    video, times, texts, writer = record["video"], record["times"], record["texts"], record.get("writer", {})
    if not isinstance(video, str) or not video.strip():
        raise UserError(f"{where}: the video has no name")
    if not isinstance(times, list) or not isinstance(texts, list) or len(times) != len(texts):
        raise UserError(f"{where}: video {video} needs as many times as texts, both as lists")
    if not texts:
        raise UserError(f"{where}: video {video} has no narratives")
    if not all(is_number(time) and time >= 0 for time in times) or times != sorted(times):
        raise UserError(f"{where}: the times of video {video} are not ascending seconds from 0")
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise UserError(f"{where}: video {video} has an empty narrative")
    if not isinstance(writer, dict):
        raise UserError(f"{where}: the writer of video {video} is not an object of settings")
    repeated = record.get("repeated", [])
    if not isinstance(repeated, list) or not all(is_number(time) and time in times for time in repeated):
        raise UserError(f"{where}: the repeated times of video {video} are not among its times")
    seconds, again = (tuple(float(time) for time in each) for each in (times, repeated))
    return Narratives(video, seconds, tuple(texts), writer, again)


def to_line(narratives: Narratives) -> str:
    """One line of a narratives file, with its line end."""
    record = asdict(narratives)
    if not narratives.repeated:
        del record["repeated"]
    return json.dumps(record, ensure_ascii=False) + "\n"


def write_narratives(path: Path, narratives: Iterable[Narratives]) -> int:
    """Write a narratives file whole or not at all; returns the number of videos."""
    count = 0
    with whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for one in narratives:
            file.write(to_line(one))
            count += 1
    return count
