"""From video files to features: decoding in processes of their own, batches across videos, each video as it is done."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from src.errors import UserError, reason
from src.features.extractor import Extractor
from src.videos.collection import Item
from src.videos.frames import Backend, Frame, Pixels, View, from_start, rate_of, read_views
from src.videos.tap import Tap

_log = logging.getLogger(__name__)

_MOST_PENDING = 8  # batches' worth of windows of other sizes that wait for more of their size


class Stream(NamedTuple):
    """An extractor, the frames it takes, and how many windows it is given at a time.

    Where every window has one size the last batch is filled up, so that the network always computes one shape: what it
    says of a window then does not depend on where a run was broken off.
    """

    extractor: Extractor
    view: View
    batch_size: int
    one_size: bool


class Reading(NamedTuple):
    """How video files are read: by which library, the seconds without progress after which a decoder is ended, and how
    many are decoded at once."""

    reader: Backend
    patience: float
    workers: int


class Extracted(NamedTuple):
    """The features (n, dim) of a video, one array a stream."""

    video: str
    features: list[NDArray[np.float32]]


class Unreadable(NamedTuple):
    """A video without features, and why."""

    video: str
    reason: str


class _Window(NamedTuple):
    video: str
    stream: int
    number: int
    frames: NDArray[np.uint8]


class _End(NamedTuple):
    """The end of a video: how many windows each stream had of it, or what is wrong with it."""

    video: str
    windows: tuple[int, ...]
    problem: str | None


@dataclass
class _Draft:
    """What is there of a video so far: for each stream the vectors of each window."""

    vectors: list[dict[int, NDArray[np.float32]]]
    end: _End | None = None
    problem: str | None = None

    @property
    def is_whole(self) -> bool:
        if self.end is None:
            return False
        return self.problem is not None or [len(each) for each in self.vectors] == list(self.end.windows)

    def outcome(self, video: str) -> Extracted | Unreadable:
        if self.problem is not None:
            return Unreadable(video, self.problem)
        return Extracted(video, [np.concatenate([each[n] for n in range(len(each))]) for each in self.vectors])


@dataclass
class Clock:
    """What a run took: seconds in all and of waiting for frames, and the windows of all streams."""

    started: float = field(default_factory=time.monotonic)
    waited: float = 0.0
    windows: int = 0

    def __str__(self) -> str:
        took = max(time.monotonic() - self.started, 1e-9)
        return f"{self.windows / took:.1f} windows/s, {100 * self.waited / took:.0f} % waiting for frames"


def extract(
    items: Sequence[Item],
    streams: Sequence[Stream],
    reading: Reading,
    clock: Clock | None = None,
    tap: Tap | None = None,
) -> Iterator[Extracted | Unreadable]:
    """What becomes of each video, as it is done. Its frames are decoded once for all streams.

    Args:
        items: The videos.
        streams: The extractors.
        reading: How files are read.
        clock: Kept up to date meanwhile.
        tap: Is handed the frames of one more view; closed at the end.

    Raises:
        UserError: An extractor's model cannot be loaded, or its vectors do not fit.
    """
    for stream in streams:
        if missing := stream.extractor.missing():
            raise UserError(missing[0])
    clock = clock or Clock()
    drafts: dict[str, _Draft] = {}
    pending: dict[tuple[int, tuple[int, ...]], list[_Window]] = {}
    decoded = _Decoded(items, streams, reading, tap)
    try:
        for event in decoded.events(clock):
            draft = drafts.setdefault(event.video, _Draft([{} for _ in streams]))
            of = [event.video]
            if isinstance(event, _End):
                draft.end, draft.problem = event, draft.problem or event.problem
            elif draft.problem is None:
                waiting = pending.setdefault((event.stream, event.frames.shape), [])
                waiting.append(event)
                full = len(waiting) == streams[event.stream].batch_size
                key = (event.stream, event.frames.shape) if full else _overdue(pending, streams[event.stream])
                if key is not None:
                    batch = pending.pop(key)
                    _fill(drafts, batch, streams[key[0]], clock)
                    of = [window.video for window in batch]
            yield from _whole(drafts, of)
        for key in list(pending):
            _fill(drafts, pending.pop(key), streams[key[0]], clock)
        yield from _whole(drafts, list(drafts))
    finally:
        if tap is not None:
            tap.close()
        decoded.close()


def _overdue(
    pending: dict[tuple[int, tuple[int, ...]], list[_Window]], stream: Stream
) -> tuple[int, tuple[int, ...]] | None:
    """The windows to compute though they are no full batch, as too many wait."""
    many = sum(len(waiting) for waiting in pending.values()) > _MOST_PENDING * stream.batch_size
    return next(iter(pending)) if many and not stream.one_size else None


def _whole(drafts: dict[str, _Draft], videos: Iterable[str]) -> Iterator[Extracted | Unreadable]:
    for video in dict.fromkeys(videos):
        if video in drafts and drafts[video].is_whole:
            yield drafts.pop(video).outcome(video)


def _fill(drafts: dict[str, _Draft], batch: list[_Window], stream: Stream, clock: Clock) -> None:
    """Compute a batch. Where it fails, its videos are computed one by one: the others are not to blame."""
    batch = [window for window in batch if drafts[window.video].problem is None]
    if not batch:
        return
    try:
        vectors = _vectors(batch, stream)
    except UserError:
        raise
    except Exception as error:  # a model can fail on a picture that it was not made for in any way
        parts = [list(windows) for _, windows in groupby(batch, key=lambda window: window.video)]
        if len(parts) > 1:
            for part in parts:
                _fill(drafts, part, stream, clock)
        else:
            _log.debug("%s", batch[0].video, exc_info=error)
            drafts[batch[0].video].problem = f"its features cannot be computed ({reason(error)[:200]})"
        return
    clock.windows += len(batch)
    for window, features in zip(batch, vectors, strict=True):
        drafts[window.video].vectors[window.stream][window.number] = features


def _vectors(batch: list[_Window], stream: Stream) -> NDArray[np.float32]:
    """(n, vectors, dim) of n windows."""
    frames = [window.frames for window in batch]
    if stream.one_size:
        frames += [frames[-1]] * (stream.batch_size - len(frames))
    features = stream.extractor(np.stack(frames))
    return features.reshape(len(frames), stream.extractor.vectors, -1)[: len(batch)]


class _Decoded:
    """Windows and ends of videos, decoded by several threads, each with a process of its own."""

    def __init__(self, items: Sequence[Item], streams: Sequence[Stream], reading: Reading, tap: Tap | None) -> None:
        self._tap = tap
        self._items = iter(items)
        self._streams = streams
        self._reading = reading
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._ready: queue.Queue[_Window | _End | BaseException | None] = queue.Queue(
            2 * max(stream.batch_size for stream in streams)
        )
        count = max(min(reading.workers, len(items)), 1)
        self._threads = [threading.Thread(target=self._run, name="frames", daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def events(self, clock: Clock) -> Iterator[_Window | _End]:
        running = len(self._threads)
        while running:
            started = time.monotonic()
            event = self._ready.get()
            clock.waited += time.monotonic() - started
            if isinstance(event, BaseException):
                raise event
            if event is None:
                running -= 1
            else:
                yield event

    def close(self) -> None:
        """Stop early, and wait for what is being done."""
        self._stopped.set()
        while any(thread.is_alive() for thread in self._threads):
            with suppress(queue.Empty):
                self._ready.get(timeout=0.05)

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                with self._lock:
                    item = next(self._items, None)
                if item is None:
                    break
                for event in self._of(item):
                    if not self._put(event):
                        return
            self._put(None)
        except BaseException as problem:  # raised again where the windows are used
            self._put(problem)

    def _of(self, item: Item) -> Iterator[_Window | _End]:
        windows = [0] * len(self._streams)
        problem = None
        try:
            if item.path is None:
                raise UserError(f"no file of {item.video} among the videos")
            rate = rate_of(item.path, self._reading.patience)
            for number, frames in self._windows(self._frames(item.video, item.path)):
                chosen = self._streams[number].extractor.window(frames, rate)
                if not chosen and not windows[number]:
                    # A video has one window at least, however short it is.
                    chosen = self._streams[number].extractor.window(self._stretched(number, frames), rate)
                if chosen:
                    yield _Window(item.video, number, windows[number], np.stack(chosen))
                    windows[number] += 1
        except UserError as error:
            problem = str(error)
        if self._tap is not None:
            self._tap.end(item.video, problem)
        yield _End(item.video, tuple(windows), problem)

    def _frames(self, video: str, path: Path) -> Iterator[tuple[int, Frame]]:
        """The frames of the streams, each with its stream's number. Those of the tap are handed on."""
        tap = self._tap if self._tap is not None and self._tap.wants(video) else None
        views = [stream.view for stream in self._streams] + ([tap.view] if tap is not None else [])
        for number, frame in read_views(path, views, self._reading.reader, self._reading.patience):
            if number < len(self._streams):
                yield number, frame
            elif tap is not None:
                tap.put(video, frame)

    def _windows(self, taken: Iterator[tuple[int, Frame]]) -> Iterator[tuple[int, list[Pixels]]]:
        """The frames of each window with the number of its stream, as they are whole; the last may have fewer."""
        held: list[list[Pixels]] = [[] for _ in self._streams]
        begun = [False] * len(self._streams)
        for number, frame in taken:
            view, count = self._streams[number].view, self._streams[number].extractor.frames
            frames = [frame.pixels] if begun[number] else list(from_start(iter([frame]), view.interval))
            begun[number] = True
            held[number] += frames
            while len(held[number]) >= count:
                yield number, held[number][:count]
                held[number] = held[number][count:]
        for number, frames in enumerate(held):
            if frames:
                yield number, frames

    def _stretched(self, number: int, frames: list[Pixels]) -> list[Pixels]:
        return frames + [frames[-1]] * (self._streams[number].extractor.frames - len(frames))

    def _put(self, event: _Window | _End | BaseException | None) -> bool:
        while not self._stopped.is_set():
            with suppress(queue.Full):
                self._ready.put(event, timeout=0.05)
                return True
        return False
