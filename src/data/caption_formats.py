"""Captions that exist already, in the layouts they are published in, as `Narratives`.

A folder or a zip of VIDEO.jsonl with a line {"moment": k, "description": text} for each clip (MiniGPT-v2's captions of
QVHighlights, as VTG-GPT published them); one JSON file {video: {seconds: text}}; one CSV file with the columns video,
time and text.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from src.data.narratives import parse
from src.data.records import Narratives
from src.errors import UserError


def read_captions(path: Path, clip_seconds: float, writer: dict[str, Any]) -> Iterator[Narratives]:
    """Read captions in any of the layouts above, told apart by what `path` is.

    Args:
        path: a folder, .zip, .json or .csv.
        clip_seconds: length of a clip, where captions are numbered by clip; a caption's time is its clip's middle.
        writer: who wrote them, kept with each video.

    Raises:
        UserError: no such path, another layout, or a record that cannot be understood.
    """
    if not path.exists():
        raise UserError(f"no captions at {path}")
    if path.is_dir() or path.suffix == ".zip":
        videos = _of_clips(path, clip_seconds)
    elif path.suffix == ".json":
        videos = _of_json(path)
    elif path.suffix == ".csv":
        videos = _of_csv(path)
    else:
        raise UserError(f"{path}: captions are read from a folder or .zip of .jsonl, a .json or a .csv")
    found = False
    for video, captions in videos:
        found = True
        times = sorted(captions)
        record = {"video": video, "times": times, "texts": [captions[time] for time in times], "writer": writer}
        yield parse(record, str(path))
    if not found:
        raise UserError(f"{path} holds no captions")


def _of_clips(path: Path, clip_seconds: float) -> Iterator[tuple[str, dict[float, str]]]:
    for name, text in sorted(_members(path)):
        captions: dict[float, str] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                captions[(int(record["moment"]) + 0.5) * clip_seconds] = str(record["description"]).strip()
            except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
                raise UserError(f"{path}, {name}, line {number}: not a caption with moment and description") from error
        yield PurePosixPath(name).stem, captions


def _members(path: Path) -> Iterator[tuple[str, str]]:
    if path.is_dir():
        for file in path.rglob("*.jsonl"):
            yield file.name, file.read_text(encoding="utf-8")
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".jsonl") and "__MACOSX" not in name:
                    yield name, archive.read(name).decode("utf-8")
    except zipfile.BadZipFile as error:
        raise UserError(f"{path} is not a zip file, or a damaged one") from error


def _of_json(path: Path) -> Iterator[tuple[str, dict[float, str]]]:
    try:
        videos = json.loads(path.read_text(encoding="utf-8"))
        for video, captions in videos.items():
            yield video, {float(time): str(text).strip() for time, text in captions.items()}
    except (json.JSONDecodeError, AttributeError, ValueError) as error:
        raise UserError(f"{path} is not JSON of the form {{video: {{seconds: text}}}}") from error


def _of_csv(path: Path) -> Iterator[tuple[str, dict[float, str]]]:
    videos: dict[str, dict[float, str]] = {}
    rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")))
    if not {"video", "time", "text"} <= set(rows.fieldnames or ()):
        raise UserError(f"{path} needs the columns video, time and text")
    for row in rows:
        try:
            videos.setdefault(row["video"], {})[float(row["time"])] = row["text"].strip()
        except (ValueError, AttributeError) as error:
            raise UserError(f"{path}, line {rows.line_num}: not a video, a time in seconds and a text") from error
    yield from videos.items()
