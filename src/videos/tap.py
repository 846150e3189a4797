"""Frames of videos that are decoded for something else: whoever wants them too has them of the same decoding."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from src.errors import UserError
from src.videos.collection import Item
from src.videos.frames import Frame, View

Frames = Callable[[Item], Iterator[Frame]]
"""Has the frames of a video, in order; raises a UserError where it cannot be read."""

_HELD = 16
_PERIOD = 0.05  # seconds between two looks at whether the other side is still there


class _End(NamedTuple):
    """The end of a video's frames, and what is wrong with it."""

    problem: str | None


class Tap:
    """One more view of videos that are decoded, between the threads that decode and the one that takes its frames.

    Decoding waits while too many frames of a video are not taken: memory does not grow with its length.

    Args:
        view: The view.
        videos: The videos whose frames are taken, each once, in the order in which they are decoded.
        read: Reads the frames of the view from a file: of other videos, and of what is not decoded after all.
    """

    def __init__(self, view: View, videos: Collection[str], read: Frames) -> None:
        self.view = view
        self._frames: dict[str, queue.Queue[Frame | _End]] = {video: queue.Queue(_HELD) for video in videos}
        self._read = read
        self._closed = threading.Event()

    def wants(self, video: str) -> bool:
        return video in self._frames and not self._closed.is_set()

    def put(self, video: str, what: Frame | _End) -> None:
        """Hand on a frame, as soon as there is room for it; nothing once the tap is closed."""
        while self.wants(video):
            with suppress(queue.Full):
                self._frames[video].put(what, timeout=_PERIOD)
                return

    def end(self, video: str, problem: str | None) -> None:
        """Say that a video has no more frames, and why where its file is at fault."""
        self.put(video, _End(problem))

    def close(self) -> None:
        """No more frames are decoded, or taken. What was handed on can still be taken."""
        self._closed.set()

    def frames(self, item: Item) -> Iterator[Frame]:
        """The frames of a video, in order.

        Raises:
            UserError: its file cannot be read.
        """
        taken = 0
        while (frame := self._next(item.video)) is not None:
            if isinstance(frame, _End):
                if frame.problem is not None:
                    raise UserError(frame.problem)
                return
            taken += 1
            yield frame
        yield from islice(self._read(item), taken, None)

    def _next(self, video: str) -> Frame | _End | None:
        """What comes next of a video; None where nothing will."""
        while video in self._frames:
            closed = self._closed.is_set()
            with suppress(queue.Empty):
                return self._frames[video].get(timeout=_PERIOD)
            if closed:
                break
        return None
