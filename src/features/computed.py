"""Video files as a layout of features: what is not published is computed from the frames."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from src.data.layouts import Streams
from src.errors import UserError
from src.features.extractor import Extractor
from src.features.pipeline import Clock, Extracted, Reading, Stream, Unreadable, extract
from src.files import digest, whole
from src.progress import Progress
from src.videos.collection import Ids, Item, collect
from src.videos.frames import PATIENCE, READERS, TIMES, Backend, Crop, Frame, Longest, Take, View, read_views
from src.videos.tap import Tap

_log = logging.getLogger(__name__)

_LONGEST_NAME = 200  # of a file, before its ending


class Computed:
    """A `Layout` (src/data/layouts.py) whose features are computed. Window i covers [i, i + 1) · `seconds`.

    Each video's features are kept in a file of their own, so that a run that was broken off goes on where it was, and
    parts of a collection can be computed by several machines that share a folder.

    Args:
        videos: A folder (its subfolders are looked through), one video file, or a .txt with a path a line.
        extractor: The extractor of the features.
        dim: The numbers of a vector.
        seconds: The length of a window in seconds, > 0.
        batch_size: The windows at a time.
        reader: The library that decodes the frames: `pyav` or `decord`.
        longest: The most pixels of a frame's longer side; larger frames are scaled down to it. None with a `crop`.
        crop: The part of each picture that the extractor sees, instead: all pictures then have one size.
        take: Which frame stands for a time: the `nearest`, or that of FFmpeg's filter `fps`.
        ids: What a video is called: its file's `name` without the ending, or its `path` in the folder.
        patience: Seconds without progress after which a decoder is ended, and its video has failed.
        workers: Videos that are decoded at once.
        parts: The folder for the features of each video; None keeps none.
    """

    def __init__(
        self,
        videos: str,
        extractor: Extractor,
        dim: int,
        seconds: float,
        batch_size: int,
        reader: Backend,
        longest: int | None = None,
        ids: Ids = "name",
        crop: Crop | None = None,
        take: Take = "nearest",
        patience: float = PATIENCE,
        workers: int = 1,
        parts: str | None = None,
    ) -> None:
        if reader not in READERS:
            raise UserError(f"features: reader={reader!r}: give {' or '.join(READERS)}")
        if seconds <= 0 or batch_size < 1 or (longest is not None and longest < 1):
            raise UserError(f"features: seconds={seconds}, batch_size={batch_size} and longest={longest}: all above 0")
        if (longest is None) == (crop is None):
            raise UserError("features: give either longest or crop")
        self.places = (Path(videos),)
        self.extractor = extractor
        self.dim = dim
        self.seconds = seconds
        self.batch_size = batch_size
        self.longest = longest
        self.crop = crop
        self.take: Take = take
        self.ids: Ids = ids
        self.reading = Reading(reader, patience, workers)
        self._parts = None if parts is None else Path(parts)

    @property
    def identity(self) -> dict[str, Any]:
        settings: dict[str, Any] = {"place": str(self.places[0].absolute()), "seconds": self.seconds, "times": TIMES}
        if self.crop is None:
            settings["longest"] = self.longest
        else:
            settings |= {"crop": self.crop._asdict(), "take": self.take, "reader": self.reading.reader}
        return {"layout": "Videos", **settings, "extractor": self.extractor.identity}

    @property
    def stream(self) -> Stream:
        """How its frames are taken and computed."""
        view = View(self.seconds / self.extractor.frames, self.take, self.crop or Longest(self.longest or 1))
        return Stream(self.extractor, view, self.batch_size, one_size=self.crop is not None)

    def __contains__(self, video: str) -> bool:
        return video in self.files

    def sources(self, videos: Iterable[str]) -> list[Path]:
        return [self.files[video] for video in videos]

    def missing(self) -> list[str]:
        return self.extractor.missing()

    def compute(self, videos: Iterable[str], tap: Tap | None = None) -> dict[str, str]:
        return compute([self], videos, tap)

    def __call__(self, video: str) -> NDArray[np.float32]:
        kept = self.kept(video)
        return self.of_file(self.files[video]) if kept is None else kept

    def of_file(self, path: Path) -> NDArray[np.float32]:
        """The features (n, dim) of any video file.

        Raises:
            UserError: it cannot be read, or its features have another size than `dim`.
        """
        return _of_file([self], path)[0]

    @cached_property
    def files(self) -> dict[str, Path]:
        """The video files by their ids.

        Raises:
            UserError: There are none.
        """
        return {video: path for video, path in collect(self.places[0], None, self.ids) if path is not None}

    def is_kept(self, video: str) -> bool:
        """Whether the features of a video were computed before."""
        return self.kept(video) is not None

    def kept(self, video: str) -> NDArray[np.float32] | None:
        """The features of a video as they were computed of just this file before; None if they were not."""
        part = self._part(video)
        if part is None or not part.is_file():
            return None
        try:
            with np.load(part, allow_pickle=False) as file:
                features, source = np.asarray(file["features"]), str(file["source"])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            _log.warning("%s is damaged: computed again", part)
            return None
        return features if source == digest([self.files[video]]) else None

    def keep(self, video: str, features: NDArray[np.float32]) -> None:
        """Keep the features of a video on the disk.

        Raises:
            UserError: They have another size than `dim`, or cannot be written.
        """
        self.require_size(features, self.files[video])
        part = self._part(video)
        if part is not None:
            with whole(part) as temporary, temporary.open("wb") as file:
                np.savez(file, features=features, source=np.array(digest([self.files[video]])))

    def require_size(self, features: NDArray[np.float32], path: Path) -> None:
        """Raise a UserError unless the features of a file are (n, dim)."""
        if features.shape[1] != self.dim:
            raise UserError(f"{path}: features of size {features.shape[1]}, but features.dim is {self.dim}")

    def _part(self, video: str) -> Path | None:
        if self._parts is None:
            return None
        name = quote(video, safe=" ")
        if len(name) > _LONGEST_NAME:
            name = hashlib.sha256(video.encode()).hexdigest()
        return self._parts / self._settings / f"{name}.npz"

    @cached_property
    def _settings(self) -> str:
        """A name for all that decides the features but where the videos lie."""
        identity = {key: value for key, value in self.identity.items() if key != "place"}
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


class ComputedStreams(Streams):
    """Several extractors side by side, in one pass over the frames.

    Args:
        streams: The computed layouts, of the same videos, in the order of their channels.
        normalize: as in `Streams`.
    """

    def __init__(self, streams: Sequence[Computed], normalize: bool) -> None:
        super().__init__(streams, normalize)
        self.computed = list(streams)

    @property
    def files(self) -> dict[str, Path]:
        """The video files by their ids."""
        return self.computed[0].files

    @property
    def reading(self) -> Reading:
        """How they are read."""
        return self.computed[0].reading

    def compute(self, videos: Iterable[str], tap: Tap | None = None) -> dict[str, str]:
        return compute(self.computed, videos, tap)

    def is_kept(self, video: str) -> bool:
        """Whether the features of a video were computed before."""
        return all(stream.is_kept(video) for stream in self.computed)

    def __call__(self, video: str) -> NDArray[np.float32]:
        kept = [stream.kept(video) for stream in self.computed]
        if all(features is not None for features in kept):
            return self.joined([features for features in kept if features is not None])
        return self.of_file(self.files[video])

    def of_file(self, path: Path) -> NDArray[np.float32]:
        """The features (n, dim) of any video file.

        Raises:
            UserError: as `Computed.of_file`.
        """
        return self.joined(_of_file(self.computed, path))


FromVideos = Computed | ComputedStreams


def pace(layout: FromVideos, path: Path) -> float:
    """Seconds of work for a second of video, measured on one batch of pictures and the decoding of a file.

    Args:
        layout: What is to be computed.
        path: A video file, whole of which is decoded: give a short one.

    Raises:
        UserError: The file cannot be read, or an extractor's model not be loaded.
    """
    layouts = layout.computed if isinstance(layout, ComputedStreams) else [layout]
    streams, reading = [each.stream for each in layouts], layouts[0].reading
    started = time.monotonic()
    last: dict[int, Frame] = {}
    for number, frame in read_views(path, [stream.view for stream in streams], reading.reader, reading.patience):
        last[number] = frame
    length = max(frame.time + stream.view.interval for frame, stream in zip(last.values(), streams, strict=True))
    decoding = (time.monotonic() - started) / length / reading.workers
    computing = 0.0
    for number, (stream, each) in enumerate(zip(streams, layouts, strict=True)):
        windows = np.stack([stream.extractor.window([last[number].pixels] * stream.extractor.frames, 0.0)])
        stream.extractor(windows)  # loads its model, which is no part of the pace
        started = time.monotonic()
        stream.extractor(windows)
        computing += (time.monotonic() - started) / each.seconds
    return max(decoding, computing)


def compute(layouts: Sequence[Computed], videos: Iterable[str], tap: Tap | None = None) -> dict[str, str]:
    """Compute the features of videos that are not kept yet, in one pass over the frames for all `layouts`, and for
    whoever takes frames from `tap` meanwhile.

    Returns:
        Why a video has none, by its id.

    Raises:
        UserError: No features can be computed at all.
    """
    files, reading = layouts[0].files, layouts[0].reading
    wanted = list(videos)
    todo = [Item(video, files.get(video)) for video in wanted if any(each.kept(video) is None for each in layouts)]
    if len(todo) < len(wanted):
        _log.info("%d of %d videos are done", len(wanted) - len(todo), len(wanted))
    if not todo:
        return {}
    failures: dict[str, str] = {}
    clock = Clock()
    with Progress(None, "computing features", "video", len(todo)) as progress:
        for outcome in extract(todo, [layout.stream for layout in layouts], reading, clock, tap):
            if isinstance(outcome, Extracted):
                for layout, features in zip(layouts, outcome.features, strict=True):
                    layout.keep(outcome.video, features)
            else:
                failures[outcome.video] = outcome.reason
                progress.write(f"failed: {outcome.video}: {outcome.reason}")
            progress.set_postfix_str(str(clock), refresh=False)
            progress.update()
    _log.info("features of %d videos: %s", len(todo) - len(failures), clock)
    return dict(sorted(failures.items()))


@contextmanager
def computed_meanwhile(layout: FromVideos, videos: Sequence[str], tap: Tap) -> Iterator[None]:
    """Compute the features of videos that are not kept yet while the block runs, which takes frames from `tap`.

    What fails is told when the store is made of the others.

    Raises:
        UserError: No features can be computed at all. The block is run to its end first.
    """
    failed: list[BaseException] = []

    def work() -> None:
        try:
            layout.compute(videos, tap)
        except BaseException as error:  # raised again by whoever waits for this
            failed.append(error)
        finally:
            tap.close()

    # A daemon: whoever interrupts the block does not wait for it, and loses no more than the videos in flight.
    thread = threading.Thread(target=work, name="features", daemon=True)
    thread.start()
    try:
        yield
    finally:
        tap.close()
    thread.join()
    if failed:
        raise failed[0]


def _of_file(layouts: Sequence[Computed], path: Path) -> list[NDArray[np.float32]]:
    streams = [layout.stream for layout in layouts]
    outcome = next(extract([Item(path.stem, path)], streams, layouts[0].reading))
    if isinstance(outcome, Unreadable):
        raise UserError(outcome.reason if str(path) in outcome.reason else f"{path}: {outcome.reason}")
    for layout, features in zip(layouts, outcome.features, strict=True):
        layout.require_size(features, path)
    return outcome.features
