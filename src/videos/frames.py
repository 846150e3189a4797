"""Frames of a video at a fixed interval, by presentation time (Section 3.2), through decord or PyAV.

Both readers agree on the time of every frame and show rotated videos upright. Time 0 is the first frame's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from src.errors import UserError, reason

Pixels = NDArray[np.uint8]  # (height, width, 3), RGB
Backend = Literal["decord", "pyav"]

# Frames that decord decodes at once hold at most so many bytes.
_CHUNK_BYTES = 64 * 2**20
# Two frames that are equally near to a time up to this: the earlier is taken.
_TIE_SECONDS = 5e-4
# The formats, as FFmpeg names them, in which decord finds the frames that it is asked for: MP4 and QuickTime, Matroska
# and WebM. In others (MPEG streams, AVI, ASF) it gives other frames, or none, unnoticed: PyAV reads those.
_DECORD_FINDS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
# A file whose frames end so many seconds before the length it states has lost its end.
_LOST_SECONDS = 1.0


class Frame(NamedTuple):
    """`time` is the requested one in seconds, a multiple of the interval; `shown` that of the frame that was taken."""

    time: float
    shown: float
    pixels: Pixels


class Video(Protocol):
    """An open video: `starts` (n,) are the presentation times of its frames in seconds, ascending from 0; the last
    frame ends at `end`."""

    starts: NDArray[np.float64]
    end: float

    def decode(self, indices: Sequence[int]) -> Iterator[Pixels]:
        """The frames at ascending `indices` of `starts`."""
        ...


def read_frames(path: Path, interval: float, backend: Backend, longest: int) -> Iterator[Frame]:
    """The frames nearest to 0, interval, 2 · interval … seconds, none more than half a frame away.

    Args:
        path: The video file.
        interval: The seconds between frames, > 0: m of Section 3.2.
        backend: The library that decodes. Formats that decord reads wrongly are left to PyAV.
        longest: The most pixels of a frame's longer side; larger frames are scaled down to it.

    Raises:
        UserError: The file cannot be read, holds no frames, is cut off, or is damaged in between.
    """
    video = _opened(path, backend)
    times, indices = sample(video.starts, video.end, interval)
    for time, index, pixels in zip(times, indices, video.decode(indices), strict=True):
        yield Frame(time, float(video.starts[index]), _shrink(pixels, longest))


def duration_of(path: Path) -> float:
    """The seconds from a video's first frame to the end of its last.

    Raises:
        UserError: as `read_frames`.
    """
    return _opened(path, "pyav").end


def _opened(path: Path, backend: Backend) -> Video:
    if not path.is_file():
        raise UserError(f"no file {path}")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty (0 bytes)")
    container, stated = _header(path)
    video: Video = _BACKENDS[backend](path) if container in _DECORD_FINDS else PyAvVideo(path)
    if stated - video.end > _LOST_SECONDS:
        raise UserError(f"{path} is cut off: its frames end at {video.end:.1f} s of {stated:.1f} s")
    return video


def sample(starts: NDArray[np.float64], end: float, interval: float) -> tuple[list[float], list[int]]:
    """The multiples of `interval` that lie in a video, and for each the index of the nearest of its frames.

    Args:
        starts: (n,) times of the frames in seconds, ascending from 0, n >= 1.
        end: The end of the last frame in seconds. A time in its second half is not asked for, as no frame is near it.
        interval: The seconds between the times that are asked for.
    """
    last = float(starts[-1])
    count = int((last + max(end - last, 0.0) / 2) / interval + 1e-6) + 1
    times = (interval * np.arange(count)).round(6)
    after = np.searchsorted(starts, times).clip(1, max(len(starts) - 1, 1))
    if len(starts) == 1:
        return times.tolist(), [0] * count
    # decord's times are in single precision: without the tolerance a tie would fall differently in each reader.
    nearer = np.where(times - starts[after - 1] <= starts[after] - times + _TIE_SECONDS, after - 1, after)
    return times.tolist(), nearer.tolist()


class DecordVideo:
    """A video through decord.

    Raises:
        UserError: The file cannot be read by decord.
    """

    def __init__(self, path: Path) -> None:
        try:
            import decord
        except ImportError as error:  # it is made for few platforms
            raise UserError("decord is not installed: set frames.reader=pyav") from error

        self._path = path
        try:
            # More threads decode no faster at this sampling rate and hold more frames.
            self._reader = decord.VideoReader(str(path), num_threads=1)
            spans = self._reader.get_frame_timestamp(range(len(self._reader))).astype(np.float64)
        except Exception as error:  # decord raises its own errors, RuntimeError and others
            raise _unreadable(path, error) from error
        if len(spans) == 0:
            raise UserError(f"{path} holds no video frames")
        self.starts = spans[:, 0] - spans[0, 0]
        self.end = float(spans[-1, 1] - spans[0, 0])

    def decode(self, indices: Sequence[int]) -> Iterator[Pixels]:
        remaining = list(indices)
        at_once = 1
        while remaining:
            try:
                frames = self._reader.get_batch(remaining[:at_once]).asnumpy()
            except Exception as error:
                raise _damaged(self._path, self.starts[remaining[0]], reason(error)) from error
            yield from frames
            remaining = remaining[at_once:]
            at_once = max(1, min(32, _CHUNK_BYTES // frames[0].nbytes))


class PyAvVideo:
    """A video through PyAV.

    Raises:
        UserError: The file cannot be read by PyAV.
    """

    def __init__(self, path: Path) -> None:
        import av

        self._path = path
        spans: list[tuple[int, int]] = []  # start and length of each frame, in ticks
        try:
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                tick = float(stream.time_base or 0)
                for packet in container.demux(stream):
                    if packet.pts is not None and not packet.is_discard:
                        spans.append((packet.pts, packet.duration or 0))
        except (av.FFmpegError, IndexError) as error:
            raise _unreadable(path, error) from error
        if not spans:
            raise UserError(f"{path} holds no video frames")
        spans.sort()
        self._pts = [start for start, _ in spans]
        self.starts = (np.array(self._pts, np.float64) - self._pts[0]) * tick
        self.end = float(self.starts[-1]) + spans[-1][1] * tick

    def decode(self, indices: Sequence[int]) -> Iterator[Pixels]:
        """Every frame up to the last is decoded, which a file without usable key frames bears too."""
        import av

        position = 0
        with av.open(str(self._path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "SLICE"
            try:
                for frame in container.decode(stream):
                    pixels: Pixels | None = None
                    while (
                        position < len(indices) and frame.pts is not None and frame.pts >= self._pts[indices[position]]
                    ):
                        if pixels is None:
                            upright = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
                            pixels = upright.astype(np.uint8, copy=False)
                        yield pixels
                        position += 1
                    if position == len(indices):
                        return
            except av.FFmpegError as error:
                raise _damaged(self._path, self.starts[indices[position]], reason(error)) from error
        raise _damaged(self._path, self.starts[indices[position]], "the frames end there")


_BACKENDS: dict[str, Callable[[Path], Video]] = {"decord": DecordVideo, "pyav": PyAvVideo}


def _header(path: Path) -> tuple[str, float]:
    """The format of a file, and how many seconds of video it says it holds, 0 if it does not say."""
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stated = float((stream.duration or 0) * (stream.time_base or 0))
            # Formats that state no length of a stream state one of the file, which other streams may make longer.
            if not stated and len(container.streams) == 1 and container.duration:
                stated = container.duration / av.time_base
            return container.format.name, stated
    except (av.FFmpegError, IndexError) as error:
        raise _unreadable(path, error) from error


def _shrink(pixels: Pixels, longest: int) -> Pixels:
    height, width, _ = pixels.shape
    scale = longest / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} cannot be read as a video ({reason(error)[:200]})")


def _damaged(path: Path, second: float, why: str) -> UserError:
    return UserError(f"{path} is damaged at {second:.1f} s ({why[:200]})")
