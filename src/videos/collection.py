"""The videos of a collection: those of a data set, of a folder, or of a list."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from src.errors import UserError


class Item(NamedTuple):
    """A video of the collection: its id, and its file (None if there is none)."""

    video: str
    path: Path | None


# What a video file may be called. One that holds something else is a failure, which is reported.
SUFFIXES = frozenset({".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv", ".ts", ".3gp"})


def collect(place: Path, videos: Iterable[str] | None) -> list[Item]:
    """The videos to narrate, in order of their ids.

    Args:
        place: A folder (its subfolders are looked through), one video file, or a list: a .txt of paths, one a line,
            relative to the list's folder.
        videos: The ids of a data set, which are file names with or without the ending; one without a file is given with
            path None. None for every video of `place`, by its file name without the ending.

    Raises:
        UserError: Nothing at `place`, no video in it, or two files of one name.
    """
    files = sorted(_files(place))
    if not files:
        raise UserError(f"no videos in {place}")
    by_name: dict[str, Path] = {}
    for file in files:
        if (other := by_name.setdefault(file.stem, file)) != file:
            raise UserError(f"two videos are called {file.stem}: {other} and {file}")
    if videos is None:
        return [Item(video, path) for video, path in sorted(by_name.items())]
    by_name |= {file.name: file for file in files}
    return [Item(video, by_name.get(video)) for video in sorted(set(videos))]


def _files(place: Path) -> Iterable[Path]:
    if place.is_dir():
        return (file for file in place.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not place.is_file():
        raise UserError(f"no videos at {place}: give videos=FOLDER, a video file, or a .txt with a path a line")
    if place.suffix != ".txt":
        return [place]
    lines = [line.strip() for line in place.read_text(encoding="utf-8").split("\n")]
    return [place.parent / line for line in dict.fromkeys(lines) if line]
