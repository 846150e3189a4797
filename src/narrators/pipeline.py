"""From video files to narratives: decoding runs ahead in the background, batches are captioned in order."""

from __future__ import annotations

import logging
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from src.data.records import Narratives
from src.errors import UserError, reason
from src.language.model import NoAnswerError
from src.language.speech import spoken
from src.narrators.narrator import Failure, Outcome, Reading
from src.videos.collection import Item
from src.videos.frames import TIMES, Frame, Longest, Pixels, View, read_views
from src.videos.similarity import Shown, without_similar
from src.videos.tap import Frames

T = TypeVar("T")

_log = logging.getLogger(__name__)


class _Batch(NamedTuple):
    """Some frames of a video, in order; or, without frames, the end of the video and why it ended early if it did."""

    video: str
    frames: list[Shown]
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
        settings: dict[str, Any] = {"interval": self.interval, "longest": reading.longest, "times": TIMES}
        if reading.skip_similar is not None:
            settings["skip_similar"] = reading.skip_similar
        return {"narrator": self.name, **self.identity, **settings}

    def prepare(self) -> None:
        """Load what narrating needs; called before any video is read.

        Raises:
            UserError: Nothing can be captioned.
        """
        return

    def pace(self, path: Path, reading: Reading) -> float:
        """Seconds of work for a second of video, measured on one batch of the frames of a file.

        Raises:
            UserError: The file cannot be read, or nothing can be captioned.
            NarrationError: Its frames cannot be captioned.
        """
        self.prepare()
        batch = [frame.pixels for frame in islice(self.frames(Item(path.stem, path), reading), self.batch_size)]
        started = time.monotonic()
        self.narrate(batch)
        return (time.monotonic() - started) / (len(batch) * self.interval * self.under_way)

    def view(self, reading: Reading) -> View:
        """The frames of a video that it captions."""
        return View(self.interval, "nearest", Longest(reading.longest))

    def frames(self, item: Item, reading: Reading) -> Iterator[Frame]:
        """The same, read from its file.

        Raises:
            UserError: There is no such file, or it cannot be read.
        """
        if item.path is None:
            raise UserError(f"no file of {item.video} among the videos")
        for _, frame in read_views(item.path, [self.view(reading)], reading.reader, reading.patience):
            yield frame

    def outcomes(self, items: Iterable[Item], reading: Reading, frames: Frames | None = None) -> Iterator[Outcome]:
        """What becomes of each item, in their order; `frames`, where given, has their frames in place of their files.

        Raises:
            UserError: Nothing at all can be narrated.
        """
        self.prepare()
        frames = frames or partial(self.frames, reading=reading)
        draft = _Draft(self.writer(reading))
        with ThreadPoolExecutor(self.under_way, "narrator") as pool:
            # Twice as many as run at once wait for their turn, so that a slow call does not leave the others idle.
            calls = _Prefetched(self._calls(pool, items, reading, draft, frames), reading.ahead + 2 * self.under_way)
            try:
                for batch, call in calls:
                    yield from draft.add(batch, call)
            finally:
                calls.close()
                pool.shutdown(cancel_futures=True)

    def _calls(
        self,
        pool: ThreadPoolExecutor,
        items: Iterable[Item],
        reading: Reading,
        draft: _Draft,
        frames: Frames,
    ) -> Iterator[tuple[_Batch, Future[list[str]] | None]]:
        """Each batch with the call that captions it; none for the rest of a video that has failed."""
        for batch in self._batches(items, reading, frames):
            in_vain = not batch.frames or draft.failed == batch.video
            yield batch, None if in_vain else pool.submit(self.narrate, [shown.frame.pixels for shown in batch.frames])

    def _batches(self, items: Iterable[Item], reading: Reading, frames: Frames) -> Iterator[_Batch]:
        for item in items:
            problem = None
            try:
                shown = without_similar(frames(item), reading.skip_similar)
                # The narrator may make its batches smaller while this runs ahead of it.
                while batch := list(islice(shown, self.batch_size)):
                    yield _Batch(item.video, batch)
            except UserError as error:
                problem = str(error)
            yield _Batch(item.video, [], problem)


class _Draft:
    """What has been said so far of the video whose results come in. `failed` is that video, if it has failed."""

    def __init__(self, writer: dict[str, Any]) -> None:
        self._writer = writer
        self._start()

    def _start(self) -> None:
        self._times: list[float] = []
        self._texts: list[str] = []
        self._repeated: list[float] = []
        self._silent: list[float] = []
        self._problem: str | None = None
        self.failed: str | None = None

    def add(self, batch: _Batch, call: Future[list[str]] | None) -> Iterator[Outcome]:
        """Take in a batch; at the end of its video, give the outcome and start anew."""
        if batch.frames:
            if call is not None and self.failed is None:
                self._take(batch, call)
            return
        yield self._outcome(batch)
        self._start()

    def _outcome(self, end: _Batch) -> Outcome:
        if self._problem is not None:
            return Failure(end.video, self._problem)
        if end.problem is not None:
            return Failure(end.video, end.problem, of_file=True)
        if not self._texts:
            return Failure(end.video, f"the narrator said nothing of the frame at {self._silent[0]:g} s")
        if self._silent:
            count, every = len(self._silent), len(self._silent) + len(self._texts)
            _log.info("%s: the narrator said nothing of %d of %d frames: left out", end.video, count, every)
        return Narratives(end.video, tuple(self._times), tuple(self._texts), self._writer, tuple(self._repeated))

    def _take(self, batch: _Batch, call: Future[list[str]]) -> None:
        try:
            texts = [spoken(text) for text in call.result()]
        except NoAnswerError as error:
            self._fail(batch.video, str(error))
            return
        except UserError:
            raise
        except Exception as error:  # a model can fail on a picture that it was not made for in any way
            _log.debug("%s", batch.video, exc_info=error)
            self._fail(batch.video, f"the narrator failed ({type(error).__name__}: {reason(error)[:300]})")
            return
        for (frame, again), text in zip(batch.frames, texts, strict=True):
            if text:
                self._times += [frame.time, *again]
                self._texts += [text] * (1 + len(again))
                self._repeated += again
            else:
                self._silent += [frame.time, *again]

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
