"""Captions that exist already, in the layouts they are published in, as `Narratives`.

A folder or a zip of VIDEO.jsonl with a line {"moment": k, "description": text} for each clip (MiniGPT-v2's captions of
QVHighlights, as VTG-GPT published them); one JSON file {video: {seconds: text}}; one CSV file with the columns video,
time and text.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from src.data.narratives import parse
from src.data.records import Narratives
from src.errors import UserError, reason
from src.files import LARGEST_TEXT, decoded, is_number, parse_json, read_csv, read_text, require_file, shown

# Of a video: at a clip a second, thirty years.
_MOST_CLIPS = 10**9


class Caption(NamedTuple):
    """One caption as it was found: `time` in seconds, and `where` it stands, for messages."""

    time: float
    text: str
    where: str


Collection = Iterator[tuple[str, list[Caption]]]


def read_captions(path: Path, clip_seconds: float, writer: dict[str, Any]) -> Iterator[Narratives]:
    """Read captions in any of the layouts above, told apart by what `path` is.

    Args:
        path: a folder, .zip, .json or .csv.
        clip_seconds: length of a clip, where captions are numbered by clip; a caption's time is its clip's middle:
            clip k covers [k, k + 1) · clip_seconds.
        writer: who wrote them, kept with each video.

    Raises:
        UserError: no such path, another layout, or, with its place, a caption that cannot be used: without a time or a
            text, or a second one of the same video and time.
    """
    videos = _videos(path, clip_seconds)
    seen: set[str] = set()
    for video, captions in videos:
        if video in seen:
            raise UserError(f"{path} holds captions of {video} twice")
        seen.add(video)
        yield _narratives(video, captions, path, writer)
    if not seen:
        raise UserError(f"{path} holds no captions")


def _videos(path: Path, clip_seconds: float) -> Collection:
    if not path.exists():
        raise UserError(f"no captions at {path}")
    if not path.is_dir():
        require_file(path)
    if path.is_dir() or path.suffix == ".zip":
        return _of_clips(path, clip_seconds)
    if path.suffix == ".json":
        return _of_json(path)
    if path.suffix == ".csv":
        return _of_csv(path)
    raise UserError(f"{path}: captions are read from a folder or .zip of .jsonl, a .json or a .csv")


def _narratives(video: str, captions: list[Caption], path: Path, writer: dict[str, Any]) -> Narratives:
    ordered = sorted(captions, key=lambda caption: caption.time)
    for before, after in pairwise(ordered):
        if before.time == after.time:
            raise UserError(f"{after.where}: a second caption of {video} at {after.time:g} s, as {before.where}")
    times, texts = [caption.time for caption in ordered], [caption.text for caption in ordered]
    return parse({"video": video, "times": times, "texts": texts, "writer": writer}, str(path))


def _caption(time: Any, text: Any, where: str) -> Caption:
    try:
        if not isinstance(time, str) and not is_number(time):
            raise ValueError
        seconds = float(time)
    except ValueError:
        raise UserError(f"{where}: {shown(time)} is not a time in seconds") from None
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{where}: the caption is empty")
    return Caption(seconds, text.strip(), where)


def _of_clips(path: Path, clip_seconds: float) -> Collection:
    for name, content in _members(path):
        captions = []
        for number, line in enumerate(content.split("\n"), start=1):
            if not line.strip():
                continue
            where = f"{path}, {name}, line {number}"
            record = parse_json(line, where)
            if not isinstance(record, dict) or not {"moment", "description"} <= record.keys():
                raise UserError(f"{where}: a caption needs moment and description")
            moment = record["moment"]
            if type(moment) is not int or not 0 <= moment <= _MOST_CLIPS:
                raise UserError(f"{where}: moment is {shown(moment)}, not the number of a clip")
            captions.append(_caption((moment + 0.5) * clip_seconds, record["description"], where))
        yield PurePosixPath(name).stem, captions


def _members(path: Path) -> Iterator[tuple[str, str]]:
    """Name and content of each .jsonl, in the order of their names."""
    if path.is_dir():
        for file in sorted(path.rglob("*.jsonl")):
            yield str(file.relative_to(path)), read_text(file)
        return
    try:
        with zipfile.ZipFile(path) as archive:
            # macOS adds a shadow of each file.
            members = [
                member
                for member in sorted(archive.infolist(), key=lambda member: member.filename)
                if member.filename.endswith(".jsonl") and "__MACOSX" not in member.filename
            ]
            if len({member.filename for member in members}) < len(members):
                raise UserError(f"{path} holds two files of one name")
            for member in members:
                where = f"{path}, {member.filename}"
                if member.file_size > LARGEST_TEXT:
                    raise UserError(f"{where} unpacks to {member.file_size >> 20} MiB: it is not read")
                # Not more than that, whatever the packed data go on to hold.
                with archive.open(member) as unpacked:
                    content = unpacked.read(LARGEST_TEXT)
                yield member.filename, decoded(content, where)
    except (OSError, RuntimeError, NotImplementedError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} is not a zip file that can be read ({reason(error)}): unpack it yourself") from error


def _of_json(path: Path) -> Collection:
    videos = parse_json(read_text(path), path)
    if not isinstance(videos, dict) or not all(isinstance(captions, dict) for captions in videos.values()):
        raise UserError(f"{path} is not of the form {{video: {{seconds: text}}}}")
    for video, captions in videos.items():
        yield video, [_caption(time, text, f"{path}, {video} at {time}") for time, text in captions.items()]


def _of_csv(path: Path) -> Collection:
    videos: dict[str, list[Caption]] = {}
    for where, row in read_csv(path, ("video", "time", "text")):
        videos.setdefault(row["video"], []).append(_caption(row["time"], row["text"], where))
    yield from videos.items()
