"""The videos of a collection: those of a data set, of a folder, or of a list."""

from __future__ import annotations

import logging
import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from src.errors import UserError, printable
from src.files import require_file

Ids = Literal["name", "path"]


class Item(NamedTuple):
    """A video of the collection: its id, and its file (None if there is none)."""

    video: str
    path: Path | None


# What a video file may be called. One that holds something else is a failure, which is reported.
SUFFIXES = frozenset(
    f".{ending}"
    for ending in (
        *("mp4", "m4v", "mov", "3gp", "3g2", "f4v", "mkv", "webm", "avi", "divx", "flv", "wmv", "asf", "ogv"),
        *("mpg", "mpeg", "m2v", "vob", "ts", "m2ts", "mts", "mxf"),
    )
)
_HIDDEN = "hidden"
_log = logging.getLogger(__name__)


def collect(place: Path, videos: Iterable[str] | None, ids: Ids = "name") -> list[Item]:
    """The videos to narrate, in order of their ids. What is left out of a folder is counted in the log.

    Args:
        place: A folder (its subfolders are looked through, links too; hidden files are left out), one video file, or a
            list: a .txt of paths, one a line, relative to the list's folder.
        videos: The ids of a data set, which are file names with or without the ending; one without a file is given with
            path None. None for every video of `place`.
        ids: What a video is called: its file's `name` without the ending, or its `path` in the folder, with the ending.

    Raises:
        UserError: Nothing at `place`, no video in it, or two files of one name.
    """
    if ids not in get_args(Ids):
        raise UserError(f"ids={ids}: give {' or '.join(get_args(Ids))}")
    left_out: Counter[str] = Counter()
    files = sorted(_files(place, left_out))
    ranked = sorted(left_out.items(), key=lambda each: (-each[1], each[0]))
    told = ", ".join(f"{count} {ending}" for ending, count in ranked)
    if not files:
        raise UserError(f"no videos in {place}" + (f" (what is there: {told})" if told else ""))
    if told:
        _log.info("%s: %d files left out because of their names: %s", place, left_out.total(), told)
    root = place if place.is_dir() else place.parent
    of_name: dict[str, Path] = {}
    for file in files:
        name = printable(file.stem if ids == "name" else _within(file, root))
        if (other := of_name.setdefault(name, file)) != file and not _are_one(file, other):
            raise UserError(
                f"two videos are called {name}: {other} and {file}; rename one, or call all by their paths: ids=path"
            )
    if videos is None:
        return [Item(video, path) for video, path in sorted(of_name.items())]
    for name, file in list(of_name.items()):
        of_name.setdefault(printable(file.name) if ids == "name" else str(Path(name).with_suffix("")), file)
    return [Item(video, of_name.get(video)) for video in sorted(set(videos))]


def _within(file: Path, root: Path) -> str:
    return Path(os.path.relpath(file, root)).as_posix()


def _are_one(file: Path, other: Path) -> bool:
    return file.exists() and other.exists() and file.samefile(other)


def _files(place: Path, left_out: Counter[str]) -> Iterable[Path]:
    if place.is_dir():
        return _in_folder(place, left_out)
    if not place.is_file():
        raise UserError(f"no videos at {place}: give videos=FOLDER, a video file, or a .txt with a path a line")
    if place.suffix.lower() != ".txt":
        return [place]
    # Names of files are bytes, which need not be UTF-8; Windows puts a mark before what is.
    require_file(place)
    content = place.read_bytes().removeprefix(b"\xef\xbb\xbf")
    if b"\0" in content:
        raise UserError(f"{place} is no list of paths in UTF-8: save it as such")
    lines = [os.fsdecode(line.strip()) for line in content.splitlines()]
    return [place.parent / line for line in dict.fromkeys(lines) if line]


def _in_folder(place: Path, left_out: Counter[str]) -> Iterator[Path]:
    """The video files in a folder and all below it, each folder once: those that only a link leads to come last."""
    folders, links, seen = deque([place]), deque[Path](), set[tuple[int, int]]()
    while folders or links:
        folder = folders.popleft() if folders else links.popleft()
        try:
            about = folder.stat()
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            _log.warning(
                "%s cannot be looked into (%s): its videos are left out", printable(str(folder)), error.strerror
            )
            continue
        if (about.st_dev, about.st_ino) in seen:
            continue
        seen.add((about.st_dev, about.st_ino))
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith("."):
                left_out[_HIDDEN] += 1
            elif entry.is_dir():
                (links if entry.is_symlink() else folders).append(path)
            elif path.suffix.lower() in SUFFIXES:
                yield path
            else:
                left_out[path.suffix.lower() or "without ending"] += 1
