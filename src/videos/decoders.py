"""Open videos: the times of their frames, and the frames at some of them, through PyAV or decord.

Times are those that a player shows: 0 is where the file begins, whether with sound or a picture.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import av
import numpy as np
from numpy.typing import NDArray

from src.errors import UserError, reason
from src.videos.frames import Backend, Pixels

Progress = Callable[[], None]

_CHUNK_BYTES = 64 * 2**20  # held at most by the frames that decord decodes at once
_THREADS = min(4, os.cpu_count() or 1)
# The formats, as FFmpeg names them, in which decord finds the frames that it is asked for: MP4 and QuickTime, Matroska
# and WebM. In others (MPEG streams, AVI, ASF) it gives other frames, or none, unnoticed.
_DECORD_FINDS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})
# A packet of AVI says when it is decoded, not when its frame is shown.
_WITHOUT_TIMES = frozenset({"avi"})
# A file whose frames end so many seconds before the end it states has lost its end; one is damaged where no frame can
# be decoded within so many seconds of one that it has.
_LOST_SECONDS = 1.0
# decord's times are in single precision.
_AGREE_SECONDS = 2e-3


class Video(Protocol):
    """An open video: `starts` (n,) are the player's times of its frames in seconds, ascending, the first not below 0;
    the last frame ends at `end`."""

    starts: NDArray[np.float64]
    end: float

    def decode(self, indices: Sequence[int]) -> Iterator[Pixels]:
        """The frames at ascending `indices` of `starts`, upright and all of one size."""
        ...


def open_video(path: Path, backend: Backend, progress: Progress) -> Video:
    """The video at `path`.

    Args:
        path: The video file.
        backend: The library that decodes. Where decord's times are not those of the file, PyAV does.
        progress: Called again and again while the file is read.

    Raises:
        UserError: The file cannot be read, holds no frames or is cut off.
    """
    _require_content(path)
    header = _header(path)
    video: PyAvVideo = (CountedVideo if header.format in _WITHOUT_TIMES else PyAvVideo)(path, header, progress)
    if header.stated_end - video.file_end > _LOST_SECONDS:
        lost = header.stated_end - video.file_end
        raise UserError(f"{path} is cut off: its frames end at {video.end:.1f} s of {video.end + lost:.1f} s")
    if backend == "decord" and header.format in _DECORD_FINDS and video.keys_stand_alone():
        return DecordVideo.of(video) or video
    return video


def stated_rate(path: Path) -> float:
    """The frames a second that a file states, on average; 0 if it does not say.

    Raises:
        UserError: The file cannot be read.
    """
    _require_content(path)
    try:
        with av.open(str(path)) as container:
            stream = container.streams.best("video")
            if stream is None:
                raise _unreadable(path, UserError("it holds no pictures"))
            return float(stream.average_rate or 0)
    except (av.FFmpegError, OSError) as error:
        raise _unreadable(path, error) from error


class _Header(NamedTuple):
    """What a file says of itself. Times are in seconds by its own clock.

    Attributes:
        format: Its format, as FFmpeg names it.
        sound: Where its first sound begins; None without sound.
        stated_end: Where the pictures end; minus infinity if it does not say.
    """

    format: str
    sound: float | None
    stated_end: float


class _Run(NamedTuple):
    """Packets that are decoded one after the other, by their numbers: the first one needs none before it."""

    first: int
    last: int


class PyAvVideo:
    """A video through PyAV. Only the packets are decoded that the wanted frames are made of.

    Raises:
        UserError: The file cannot be read by PyAV, or holds no frames.
    """

    def __init__(self, path: Path, header: _Header, progress: Progress) -> None:
        self.path = path
        self._progress = progress
        self._size: tuple[int, int] | None = None  # width and height of the first frame: a stream may change its size
        self._read_times()
        if not self._pts:
            raise UserError(f"{path} holds no video frames")
        seconds = np.array(self._pts, np.float64) * self._tick
        self.file_end = float(seconds[-1]) + self._last_length * self._tick
        # Sound before 0 is an encoder's run-up, which is not heard.
        picture = self._first * self._tick
        begin = picture if header.sound is None else min(picture, max(header.sound, 0.0))
        self.starts: NDArray[np.float64] = seconds - begin
        self.end = self.file_end - begin

    def _read_times(self) -> None:
        """Take the times of the frames from the packets, of which a file may hide some."""
        self._all: list[int | None] = []  # the time of each packet in ticks, shown or not, as they are stored
        self._keys: list[int] = []  # numbers of packets that need none before them
        shown: list[tuple[int, int, int]] = []  # time and length in ticks, and number of the packet
        for packet in self._packets():
            number = len(self._all)
            self._all.append(packet.pts)
            if packet.is_keyframe:
                self._keys.append(number)
            if packet.size and packet.pts is not None and not packet.is_discard:
                shown.append((packet.pts, packet.duration or 0, number))
        shown.sort()
        self._first = shown[0][0] if shown else 0
        decodable = self._first_decodable(self._first)
        shown = [each for each in shown if each[0] >= decodable]
        self._pts = [pts for pts, _, _ in shown]
        self._numbers = [number for _, _, number in shown]
        self._last_length = shown[-1][1] if shown else 0

    def _first_decodable(self, first: int) -> int:
        """The time of the first frame that can be decoded: not that of a stream that begins between key frames."""
        key = self._all[self._keys[0]] if self._keys else first
        if key is None or key <= first:
            return first
        frames = self._decoded([_Run(self._keys[0], len(self._all))], None)
        try:
            return next((frame.pts for frame in frames if frame.pts is not None), key)
        except (av.FFmpegError, OSError) as error:
            raise _unreadable(self.path, error) from error

    def keys_stand_alone(self) -> bool:
        """Whether all that is stored from a key frame on can be decoded without what comes before it."""
        times = np.array([np.nan if time is None else time for time in self._all])
        earliest_from = np.minimum.accumulate(times[::-1])[::-1]
        if not (earliest_from[self._keys] == times[self._keys]).all():
            return False
        # A stream that is refreshed bit by bit calls frames keys that come out some frames later.
        try:
            key = self._keys[1]
            first = next(self._decoded([_Run(key, key + 1)], None), None)
        except IndexError:
            return True
        except (av.FFmpegError, OSError):
            return False
        return first is not None and first.pts == self._all[key]

    def decode(self, indices: Sequence[int]) -> Iterator[Pixels]:
        wanted = [self._pts[index] for index in indices]
        done = 0
        # A frame may need others than its key frame says. Then the whole file is decoded.
        for find in (self._at_once, self._in_full):
            try:
                for pixels in find(wanted[done:], [self._numbers[index] for index in indices[done:]]):
                    yield pixels
                    done += 1
                return
            except _MissedError:
                continue
            except (av.FFmpegError, OSError) as error:
                raise _damaged(self.path, self.starts[indices[done]], reason(error)) from error
        raise _damaged(self.path, self.starts[indices[done]], "no frame can be decoded there")

    def _at_once(self, wanted: Sequence[int], numbers: Sequence[int]) -> Iterator[Pixels]:
        """The frames at the times `wanted`, from their key frames on.

        Raises:
            _MissedError: One of them does not come out of the decoder.
        """
        done = 0
        for frame in self._decoded(self._runs(wanted, numbers), set(wanted)):
            pixels = None
            while done < len(wanted) and frame.pts is not None and frame.pts >= wanted[done]:
                if frame.pts > wanted[done]:
                    raise _MissedError
                pixels = self._pixels(frame) if pixels is None else pixels
                yield pixels
                done += 1
        if done < len(wanted):
            raise _MissedError

    def _in_full(self, wanted: Sequence[int], numbers: Sequence[int]) -> Iterator[Pixels]:
        """The frames nearest to the times `wanted` of all that come out of the decoder.

        Raises:
            _MissedError: None is near to one of them.
        """
        done, before = 0, None
        for frame in self._decoded([_Run(self._keys[0] if self._keys else 0, len(self._all))], None):
            while done < len(wanted) and frame.pts is not None and frame.pts >= wanted[done]:
                yield self._nearest(wanted[done], before, frame)
                done += 1
            if done == len(wanted):
                return
            before = frame
        for time in wanted[done:]:
            yield self._nearest(time, before)

    def _nearest(self, time: int, *frames: Any) -> Pixels:
        near = [frame for frame in frames if frame is not None and frame.pts is not None]
        frame = min(near, key=lambda frame: abs(frame.pts - time), default=None)
        if frame is None or abs(frame.pts - time) * self._tick > _LOST_SECONDS:
            raise _MissedError
        return self._pixels(frame)

    def _runs(self, wanted: Sequence[int], numbers: Sequence[int]) -> list[_Run]:
        """The packets that the frames at the times `wanted`, of the packets `numbers`, are made of."""
        runs: list[_Run] = []
        for time, number in zip(wanted, numbers, strict=True):
            before = self._keys[: bisect_right(self._keys, number)]
            # What is stored after a key frame and shown before it may need frames from before the key frame.
            first = next((key for key in reversed(before) if (self._all[key] or 0) <= time), 0)
            last = number + 1  # a frame may come in two packets, one for each field
            if runs and first <= runs[-1].last + 1:
                first, last = runs[-1].first, max(runs.pop().last, last)
            runs.append(_Run(first, last))
        return runs

    def _decoded(self, runs: Sequence[_Run], wanted: Collection[int] | None) -> Iterator[Any]:
        """The frames that come out of the decoder for `runs`; of those that no other needs, only the `wanted` ones."""
        remaining = iter(runs)
        run, field = next(remaining, None), False
        for number, packet in enumerate(self._packets(_THREADS)):
            if run is None:
                return
            if number < run.first or not packet.size:
                continue
            context = packet.stream.codec_context
            if wanted is not None:
                context.skip_frame = "DEFAULT" if packet.pts in wanted or field else "NONREF"
                field = packet.pts in wanted
            yield from context.decode(packet)
            if number >= run.last:
                yield from context.decode(None)
                context.flush_buffers()
                run = next(remaining, None)
        if run is not None:
            yield from context.decode(None)

    def _packets(self, threads: int = 1) -> Iterator[Any]:
        """The packets of the pictures, as they are stored."""
        try:
            container = av.open(str(self.path))
        except (av.FFmpegError, OSError) as error:
            raise _unreadable(self.path, error) from error
        with container:
            stream = container.streams.best("video")
            if stream is None:
                raise UserError(f"{self.path} holds no video frames")
            stream.codec_context.thread_type = "AUTO"
            stream.codec_context.thread_count = threads
            self._tick = float(stream.time_base or 0)
            for packet in container.demux(stream):
                self._progress()
                if packet.size or packet.dts is not None:
                    yield packet

    def _pixels(self, frame: Any) -> Pixels:
        self._size = self._size or (frame.width, frame.height)
        width, height = self._size
        pixels = frame.to_ndarray(format="rgb24", width=width, height=height)
        return np.rot90(pixels, round(frame.rotation / 90)).astype(np.uint8, copy=False)


class CountedVideo(PyAvVideo):
    """A video whose packets do not say when their frames are shown: it is decoded once for the times, and again for
    the frames, which are counted."""

    def _read_times(self) -> None:
        try:
            self._pts = sorted(frame.pts for frame in self._every() if frame.pts is not None)
        except (av.FFmpegError, OSError) as error:
            raise _unreadable(self.path, error) from error
        self._first = self._pts[0] if self._pts else 0
        gaps = np.diff(self._pts)
        self._last_length = int(np.median(gaps)) if len(gaps) else 0

    def decode(self, indices: Sequence[int]) -> Iterator[Pixels]:
        done = 0
        try:
            for number, frame in enumerate(frame for frame in self._every() if frame.pts is not None):
                if done == len(indices):
                    return
                pixels = self._pixels(frame) if number == indices[done] else None
                while pixels is not None and done < len(indices) and number == indices[done]:
                    yield pixels
                    done += 1
        except (av.FFmpegError, OSError) as error:
            raise _damaged(self.path, self.starts[indices[done]], reason(error)) from error

    def _every(self) -> Iterator[Any]:
        return self._decoded([_Run(0, 2**62)], None)


class DecordVideo:
    """A video through decord, with the times that PyAV found."""

    def __init__(self, path: Path, reader: Any, starts: NDArray[np.float64], end: float) -> None:
        self._path = path
        self._reader = reader
        self.starts = starts
        self.end = end

    @classmethod
    def of(cls, video: PyAvVideo) -> DecordVideo | None:
        """The same video through decord; None where decord cannot open it or counts other frames.

        Raises:
            UserError: decord is not installed.
        """
        try:
            import decord
        except ImportError as error:  # it is made for few platforms
            raise UserError("decord is not installed: set frames.reader=pyav") from error

        try:
            # More threads decode no faster at this sampling rate and hold more frames.
            reader = decord.VideoReader(str(video.path), num_threads=1)
            starts = reader.get_frame_timestamp(range(len(reader)))[:, 0].astype(np.float64)
        except Exception:  # decord raises its own errors, RuntimeError and others
            return None
        same = len(starts) == len(video.starts) and np.allclose(
            starts - starts[0], video.starts - video.starts[0], rtol=0, atol=_AGREE_SECONDS
        )
        return cls(video.path, reader, video.starts, video.end) if same else None

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


class _MissedError(Exception):
    """A frame did not come out of the decoder."""


def _header(path: Path) -> _Header:
    try:
        with av.open(str(path)) as container:
            stream = container.streams.best("video")
            if stream is None:
                raise _unreadable(path, UserError("it holds no pictures"))
            end = -np.inf
            if stream.duration and stream.time_base:
                end = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
            # Formats that state no length of a stream state one of the file, which other streams may make longer.
            elif len(container.streams) == 1 and container.duration:
                end = container.duration / av.time_base
                # Matroska's counts from 0, others' from the file's start.
                if "matroska" not in container.format.name:
                    end += (container.start_time or 0) / av.time_base
            sounds = [
                float(sound.start_time * sound.time_base)
                for sound in container.streams.audio
                if sound.start_time is not None and sound.time_base
            ]
            return _Header(container.format.name, min(sounds, default=None), end)
    except (av.FFmpegError, OSError) as error:
        raise _unreadable(path, error) from error


def _require_content(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"no file {path}")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty (0 bytes)")


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} cannot be read as a video ({reason(error)[:200]})")


def _damaged(path: Path, second: float, why: str) -> UserError:
    return UserError(f"{path} is damaged at {second:.1f} s ({why[:200]})")
