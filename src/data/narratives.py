"""Narratives files: JSON Lines, one video a line: {"video", "times", "texts", "writer"}."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from src.data.records import Narratives
from src.errors import UserError


def read_narratives(path: Path) -> Iterator[Narratives]:
    """Read a narratives file, a video at a time.

    Raises:
        UserError: no such file; or, with file and line, a record that breaks the rules of `Narratives`, or a video
            that was there before.
    """
    if missing := missing_narratives(path):
        raise UserError(missing[0])
    first: dict[str, int] = {}
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            where = f"{path}, line {number}"
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"{where}: not JSON ({error.msg})") from error
            narratives = parse(record, where)
            if narratives.video in first:
                raise UserError(
                    f"{where}: video {narratives.video} was already given on line {first[narratives.video]}"
                )
            first[narratives.video] = number
            yield narratives


def missing_narratives(path: Path) -> list[str]:
    """What to do about a narratives file that does not exist; nothing if it does."""
    if path.is_file():
        return []
    return [
        f"no narratives at {path}: write them with python -m src.narrate, or take in captions that exist with "
        "python -m src.prepare import_narratives=PATH"
    ]


def parse(record: Any, where: str) -> Narratives:
    """Check one record. `where` names it in a UserError."""
    if not isinstance(record, dict) or not {"video", "times", "texts"} <= record.keys():
        raise UserError(f"{where}: a record needs video, times and texts")
    video, times, texts = record["video"], record["times"], record["texts"]
    if not isinstance(video, str) or not video:
        raise UserError(f"{where}: the video has no name")
    if not isinstance(times, list) or not isinstance(texts, list) or len(times) != len(texts):
        raise UserError(f"{where}: video {video} needs as many times as texts, both as lists")
    if not all(isinstance(time, int | float) and time >= 0 for time in times) or times != sorted(times):
        raise UserError(f"{where}: the times of video {video} are not ascending seconds from 0")
    if not texts:
        raise UserError(f"{where}: video {video} has no narratives")
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise UserError(f"{where}: video {video} has an empty narrative")
    return Narratives(video, tuple(float(time) for time in times), tuple(texts), record.get("writer", {}))


def to_line(narratives: Narratives) -> str:
    """One line of a narratives file, with its line end."""
    return json.dumps(asdict(narratives), ensure_ascii=False) + "\n"


def write_narratives(path: Path, narratives: Iterable[Narratives]) -> int:
    """Write a narratives file whole or not at all; returns the number of videos."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    count = 0
    try:
        with temporary.open("w", encoding="utf-8") as file:
            for one in narratives:
                file.write(to_line(one))
                count += 1
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return count
