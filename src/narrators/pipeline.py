"""From video files to narratives: decoding runs ahead in the background, batches are captioned in order."""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar

from src.data.records import Narratives
from src.errors import UserError
from src.narrators.narrator import Failure, NarrationError, Outcome, Reading
from src.videos.collection import Item
from src.videos.frames import Frame, Pixels, read_frames

T = TypeVar("T")


class _Batch(NamedTuple):
    """Some frames of a video, in order; or, without frames, the end of the video and why it ended early if it did."""

    video: str
    frames: list[Frame]
    problem: str | None = None


class FrameNarrator(ABC):
    """A narrator that captions frames (Eq. 1).

    Args:
        name: The narrator's name, as its config has it.
        interval: The seconds between narratives: m of Section 3.2.
        batch_size: The frames captioned at a time. A batch never holds frames of two videos: what is said of a video
            would else depend on where a run was broken off.
        under_way: The calls of `narrate` that may run at once, each in a thread of its own.
    """

    def __init__(self, name: str, interval: float, batch_size: int, under_way: int) -> None:
        if interval <= 0 or batch_size < 1 or under_way < 1:
            raise UserError(
                f"narrator {name}: its interval ({interval}), batch size ({batch_size}) and requests under way "
                f"({under_way}) must be positive"
            )
        self.name = name
        self.interval = interval
        self.batch_size = batch_size
        self.under_way = under_way

    @property
    def videos(self) -> None:
        """It looks at files."""
        return None

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What decides the captions: model, prompt and settings, as JSON can say them; never a key."""

    @abstractmethod
    def narrate(self, frames: Sequence[Pixels]) -> list[str]:
        """One narrative for each of at most `batch_size` frames.

        Raises:
            NarrationError: These frames cannot be captioned; those of other videos may.
            UserError: Nothing can be captioned.
        """

    def writer(self, reading: Reading) -> dict[str, Any]:
        return {"narrator": self.name, **self.identity, "interval": self.interval, "longest": reading.longest}

    def outcomes(self, items: Iterable[Item], reading: Reading) -> Iterator[Outcome]:
        batches = _Prefetched(self._batches(items, reading), reading.ahead)
        try:
            yield from self._narrated(batches, self.writer(reading))
        finally:
            batches.close()

    def _batches(self, items: Iterable[Item], reading: Reading) -> Iterator[_Batch]:
        for video, path in items:
            problem = None
            try:
                if path is None:
                    raise UserError(f"no file of {video} among the videos")
                frames = read_frames(path, self.interval, reading.reader, reading.longest)
                # The narrator may make its batches smaller while this runs ahead of it.
                while batch := list(islice(frames, self.batch_size)):
                    yield _Batch(video, batch)
            except UserError as error:
                problem = str(error)
            yield _Batch(video, [], problem)

    def _narrated(self, batches: Iterable[_Batch], writer: dict[str, Any]) -> Iterator[Outcome]:
        """Keep as many calls under way as the narrator allows; take their results in order."""
        under_way: deque[tuple[_Batch, Future[list[str]] | None]] = deque()
        draft = _Draft(writer)
        # Twice as many as run at once wait for their turn, so that a slow call does not leave the others idle.
        limit = 2 * self.under_way
        with ThreadPoolExecutor(self.under_way, "narrator") as pool:
            try:
                for batch in batches:
                    under_way.append((batch, None if not batch.frames else self._submit(pool, batch, draft)))
                    while len(under_way) > limit:
                        yield from draft.add(*under_way.popleft())
                while under_way:
                    yield from draft.add(*under_way.popleft())
            finally:
                pool.shutdown(cancel_futures=True)

    def _submit(self, pool: ThreadPoolExecutor, batch: _Batch, draft: _Draft) -> Future[list[str]] | None:
        if draft.failed == batch.video:
            return None  # the rest of it would be captioned in vain
        return pool.submit(self.narrate, [frame.pixels for frame in batch.frames])


class _Draft:
    """What has been said so far of the video whose results come in. `failed` is that video, if it has failed."""

    def __init__(self, writer: dict[str, Any]) -> None:
        self._writer = writer
        self._start()

    def _start(self) -> None:
        self._times: list[float] = []
        self._texts: list[str] = []
        self._problem: str | None = None
        self.failed: str | None = None

    def add(self, batch: _Batch, call: Future[list[str]] | None) -> Iterator[Outcome]:
        """Take in a batch; at the end of its video, give the outcome and start anew."""
        if batch.frames:
            if call is not None:
                self._take(batch, call)
            return
        problem = self._problem or batch.problem
        if problem is not None:
            yield Failure(batch.video, problem)
        else:
            yield Narratives(batch.video, tuple(self._times), tuple(self._texts), self._writer)
        self._start()

    def _take(self, batch: _Batch, call: Future[list[str]]) -> None:
        try:
            texts = [" ".join(text.split()) for text in call.result()]
        except NarrationError as error:
            self._fail(batch.video, str(error))
            return
        for frame, text in zip(batch.frames, texts, strict=True):
            if not text:
                self._fail(batch.video, f"the narrator said nothing of the frame at {frame.time:g} s")
            self._times.append(frame.time)
            self._texts.append(text)

    def _fail(self, video: str, problem: str) -> None:
        self._problem = self._problem or problem
        self.failed = video


class _Prefetched(Generic[T]):
    """Goes through `items` in a thread of its own, at most `ahead` of them before whoever iterates over it."""

    def __init__(self, items: Iterator[T], ahead: int) -> None:
        self._items = items
        self._ready: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(ahead)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="frames", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        while True:
            item, problem = self._ready.get()
            if problem is not None:
                raise problem
            if item is None:
                return
            yield item

    def close(self) -> None:
        """Stop early, and wait for what is being done."""
        self._stopped.set()
        while self._thread.is_alive():
            with suppress(queue.Empty):
                self._ready.get(timeout=0.05)

    def _run(self) -> None:
        try:
            for item in self._items:
                self._put(item, None)
                if self._stopped.is_set():
                    return
            self._put(None, None)
        except BaseException as problem:  # raised again where the items are used
            self._put(None, problem)

    def _put(self, item: T | None, problem: BaseException | None) -> None:
        while not self._stopped.is_set():
            with suppress(queue.Full):
                self._ready.put((item, problem), timeout=0.05)
                return
