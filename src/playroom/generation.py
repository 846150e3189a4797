"""A Playroom on the disk: FOLDER/SPLIT.json in the form of Charades-CG's files, and FOLDER/videos/VIDEO.mp4."""

from __future__ import annotations

import io
import json
import logging
import multiprocessing
import shutil
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import av

from src.errors import UserError
from src.playroom.actions import play
from src.playroom.drawing import draw
from src.playroom.splits import SPLITS, Video, make_video, world_of
from src.playroom.world import FPS, HEIGHT, WIDTH
from src.progress import Progress

_MADE_BY = "playroom.json"
_VERSION = 1  # another where the same seed gives another world
_log = logging.getLogger(__name__)

Task = tuple[str, int]  # split and number of a video


def generate(folder: Path, size: Mapping[str, int], seed: int, workers: int) -> None:
    """Write a Playroom, whole or not at all. One that was made just so is kept.

    Args:
        folder: The Playroom's folder; must not exist, or hold this very Playroom.
        size: The number of videos of each split, 1 or more. A split of fewer is the first part of one of more.
        seed: The seed, which decides every byte of the annotations and every pixel.
        workers: The processes that draw; 0 for one a processor.

    Raises:
        UserError: Impossible settings, a folder that holds something else or cannot be written to, a full disk.
    """
    if set(size) != set(SPLITS):
        raise UserError(f"size has {', '.join(size)}: a Playroom has {', '.join(SPLITS)}")
    for split, count in size.items():
        if not isinstance(count, int) or count < 1:
            raise UserError(f"size.{split}={count}: give the number of its videos, 1 or more")
    if not isinstance(workers, int) or workers < 0:
        raise UserError(f"workers={workers}: give the number of processes, or 0 for one a processor")
    wanted = {"size": dict(size), "seed": seed, "version": _VERSION}
    if _is_made(folder, wanted):
        _log.info("%s holds this Playroom already", folder)
        return
    with _whole(folder) as part:
        videos = list(_drawn(part / "videos", seed, size, workers or multiprocessing.cpu_count()))
        for split in SPLITS:
            of_split = sorted((video for video in videos if video.split == split), key=lambda video: video.name)
            (part / f"{split}.json").write_text(_annotations(of_split), encoding="utf-8")
        (part / _MADE_BY).write_text(json.dumps(wanted) + "\n", encoding="utf-8")
    queries = sum(len(video.queries) for video in videos)
    _log.info(
        "%s: %d videos, %.0f s, %d queries", folder, len(videos), sum(video.duration for video in videos), queries
    )


def made_by(folder: Path) -> dict[str, Any]:
    """What made the Playroom in a folder: its `size`, `seed` and `version`.

    Raises:
        UserError: There is none.
    """
    found = _found(folder)
    if found is None:
        raise UserError(f"{folder} holds no Playroom: make one with python -m src.playroom")
    return found


def _found(folder: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((folder / _MADE_BY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and {"size", "seed", "version"} <= found.keys() else None


def _is_made(folder: Path, wanted: dict[str, Any]) -> bool:
    if not folder.exists():
        return False
    found = _found(folder)
    if found == wanted:
        return True
    what = f"the Playroom {found}" if found else "something that is no Playroom"
    raise UserError(f"{folder} holds {what}: remove it, or give folder=ANOTHER")


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A folder of another name to write to, which takes the name `folder` if the block succeeds and is removed if not.

    What a killed run left under that name is removed first.
    """
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        part.rename(folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror or error}); nothing of it was kept") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _drawn(folder: Path, seed: int, size: Mapping[str, int], workers: int) -> Iterator[Video]:
    """Write the videos, in processes; gives what is asked about each, in any order."""
    folder.mkdir()
    tasks = [(split, number) for split in SPLITS for number in range(size[split])]
    with multiprocessing.Pool(workers, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        work = pool.imap_unordered(partial(_make, folder, seed), tasks, chunksize=2)
        yield from Progress(work, "generating the Playroom", "video", len(tasks))


def _make(folder: Path, seed: int, task: Task) -> Video:
    video = make_video(seed, *task)
    (folder / f"{video.name}.mp4").write_bytes(encode(seed, video.name))
    return video


def encode(seed: int, name: str) -> bytes:
    """A video's MP4 file: H.264, FPS frames a second. One thread, so that the bytes are always the same."""
    world = world_of(seed, name)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "20", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for _ in play(world):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(world), format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def _annotations(videos: Iterable[Video]) -> str:
    return json.dumps({video.name: _record(video) for video in videos}, indent=1) + "\n"


def _record(video: Video) -> dict[str, Any]:
    """{"duration", "timestamps", "sentences"}, and what is novel: `news` or `novels`, as Charades-CG has them."""
    record: dict[str, Any] = {
        "duration": video.duration,
        "timestamps": [[query.start, query.end] for query in video.queries],
        "sentences": [query.text for query in video.queries],
    }
    if video.split == "novel_word":
        record["news"] = [{part: [word] for part, word in query.novel} for query in video.queries]
    if video.split == "novel_composition":
        record["novels"] = [
            {kind: [[*words] for other, *words in query.pairs if other == kind] for kind, *_ in query.pairs}
            for query in video.queries
        ]
    return record
