"""The process that reads video files for src/videos/process.py: `python -m src.videos.worker DESCRIPTOR`.

It answers requests from the connection of that descriptor: ("frame", view, time, shown, shape) and the bytes of the
picture, ("answer", value), ("alive",) at least every second while it gets on, and then ("end",), or ("bad", why).
Where the request None follows, it leaves off before the next picture.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from itertools import groupby
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from PIL import Image

from src.errors import UserError, reason
from src.videos.decoders import Video, open_video, stated_rate
from src.videos.frames import Crop, Filter, Longest, Pixels, View, sample, sample_fps

_SAMPLES = {"nearest": sample, "fps": sample_fps}
_BEAT = 0.5  # seconds between signs of life


class _Reader:
    """Answers one request after the other."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._alive = time.monotonic()
        self.wanted = True

    def answer(self, path: Path, what: str, *settings: Any) -> None:
        try:
            if what == "duration":
                self._connection.send(("answer", open_video(path, "pyav", self._progress).end))
            elif what == "rate":
                self._connection.send(("answer", stated_rate(path)))
            else:
                self._frames(path, *settings)
            self._connection.send(("end",))
        except UserError as error:
            self._connection.send(("bad", str(error)))
        except Exception as error:  # a damaged file can make the libraries beneath raise anything
            self._connection.send(("bad", f"{path} cannot be read as a video ({reason(error)[:200]})"))

    def _frames(self, path: Path, backend: Any, views: list[View]) -> None:
        """Every frame is decoded once, and given to each view that takes it as often as it does."""
        video: Video = open_video(path, backend, self._progress)
        wanted: list[tuple[int, int, float]] = []
        for number, view in enumerate(views):
            times, indices = _SAMPLES[view.take](video.starts, video.end, view.interval)
            wanted += [(index, number, second) for index, second in zip(indices, times, strict=True)]
        wanted.sort(key=lambda each: each[0])
        taken = [(index, list(takes)) for index, takes in groupby(wanted, key=lambda each: each[0])]
        for (index, takes), pixels in zip(taken, video.decode([index for index, _ in taken]), strict=True):
            pictures = {number: _pictured(pixels, views[number].picture) for _, number, _ in takes}
            for _, number, second in takes:
                if not self.wanted:
                    return
                picture = pictures[number]
                self._connection.send(("frame", number, second, float(video.starts[index]), picture.shape))
                self._connection.send_bytes(picture.reshape(-1).data)

    def _progress(self) -> None:
        if time.monotonic() - self._alive > _BEAT:
            self._connection.send(("alive",))
            self._alive = time.monotonic()


def _pictured(pixels: Pixels, how: Longest | Crop) -> Pixels:
    height, width, _ = pixels.shape
    if isinstance(how, Longest):
        scale = min(how.pixels / max(height, width), 1.0)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        return np.ascontiguousarray(_scaled(pixels, size, "bicubic"))
    shorter = min(height, width)
    size = max(width * how.shorter // shorter, how.side), max(height * how.shorter // shorter, how.side)
    left, top = ((length - how.side) / 2 for length in size)
    if how.offset == "round":
        left, top = round(left), round(top)
    return np.ascontiguousarray(_scaled(pixels, size, how.scaling)[int(top) :, int(left) :][: how.side, : how.side])


def _scaled(pixels: Pixels, size: tuple[int, int], scaling: Filter) -> Pixels:
    """A picture of `size` (width, height)."""
    if pixels.shape[1::-1] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling[scaling.upper()]))


def main(descriptor: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks decides when to stop
    connection, requests = Connection(descriptor), SimpleQueue[tuple[Any, ...]]()
    reader = _Reader(connection)

    def listen() -> None:
        """Take requests, and end at once when whoever asks is gone, even while a decoder hangs."""
        try:
            while True:
                request = connection.recv()
                reader.wanted = request is not None
                if request is not None:
                    requests.put(request)
        except (EOFError, OSError):
            os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        path, *request = requests.get()
        reader.answer(Path(path), *request)


if __name__ == "__main__":
    main(int(sys.argv[1]))
