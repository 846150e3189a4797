"""The process that reads video files for src/videos/process.py: `python -m src.videos.worker DESCRIPTOR`.

It answers requests from the connection of that descriptor: ("frame", time, shown, shape) and the bytes of the picture,
("answer", value), ("alive",) at least every second while it gets on, and then ("end",), or ("bad", why). Where the
request None follows, it leaves off before the next picture.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from PIL import Image

from src.errors import UserError, reason
from src.videos.decoders import Video, open_video
from src.videos.frames import Pixels, sample

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
            else:
                self._frames(path, *settings)
            self._connection.send(("end",))
        except UserError as error:
            self._connection.send(("bad", str(error)))
        except Exception as error:  # a damaged file can make the libraries beneath raise anything
            self._connection.send(("bad", f"{path} cannot be read as a video ({reason(error)[:200]})"))

    def _frames(self, path: Path, interval: float, backend: Any, longest: int) -> None:
        video: Video = open_video(path, backend, self._progress)
        times, indices = sample(video.starts, video.end, interval)
        for second, index, pixels in zip(times, indices, video.decode(indices), strict=True):
            shrunk = np.ascontiguousarray(_shrink(pixels, longest))
            if not self.wanted:
                return
            self._connection.send(("frame", second, float(video.starts[index]), shrunk.shape))
            self._connection.send_bytes(shrunk.reshape(-1).data)

    def _progress(self) -> None:
        if time.monotonic() - self._alive > _BEAT:
            self._connection.send(("alive",))
            self._alive = time.monotonic()


def _shrink(pixels: Pixels, longest: int) -> Pixels:
    height, width, _ = pixels.shape
    scale = longest / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


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
