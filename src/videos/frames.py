"""Frames of a video at a fixed interval, by the time at which a player shows them (Section 3.2).

Several views of a video, which differ in interval, rule and size, are taken in one pass over its frames.

They are decoded in a process of their own (src/videos/process.py): a file in which a decoder hangs or dies is a bad
file, and not the end of the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from src.videos.process import answers

Pixels = NDArray[np.uint8]  # (height, width, 3), RGB
Backend = Literal["decord", "pyav"]

READERS: tuple[Backend, ...] = get_args(Backend)

TIMES = "player"
"""What is written down of the clock of times: 0 is where a player begins."""

PATIENCE = 60.0
"""Seconds without progress after which a decoder is ended."""

# So long before the first frame a time has that frame.
_LEAD_SECONDS = 0.25
# Two frames that are equally near to a time up to this: the earlier is taken.
_TIE_SECONDS = 5e-4
# A start is a sum of rounded numbers.
_ROUNDING_SECONDS = 1e-6


Take = Literal["nearest", "fps"]
"""Which frame stands for time k · interval: the nearest one, or the one that FFmpeg's filter `fps` gives, which is the
last one that is shown before (k + 1/2) · interval."""

Filter = Literal["bilinear", "bicubic"]


class Longest(NamedTuple):
    """Pictures whole: larger ones are scaled down, bicubic, until their longer side has so many `pixels`."""

    pixels: int


class Crop(NamedTuple):
    """The middle of pictures, side × side pixels, after their shorter side is scaled to `shorter` whatever it was.

    The longer side becomes ⌊longer · shorter / its shorter side⌋, and the offsets are rounded as `offset` says:
    round((length - side) / 2) in pytorch-i3d, its whole part in HERO and CLIP.
    """

    shorter: int
    side: int
    scaling: Filter
    offset: Literal["round", "cut"] = "cut"


class View(NamedTuple):
    """Which frames of a video, one every `interval` seconds, and at what size."""

    interval: float
    take: Take
    picture: Longest | Crop


class Frame(NamedTuple):
    """`time` is the requested one in seconds, a multiple of the interval; `shown` that of the frame that was taken."""

    time: float
    shown: float
    pixels: Pixels


def read_frames(
    path: Path, interval: float, backend: Backend, longest: int, patience: float = PATIENCE
) -> Iterator[Frame]:
    """The frames nearest to 0, interval, 2 · interval … seconds, none more than half a frame away.

    Time 0 is where a player begins: with the first picture, or with sound that comes before it. Before its first
    picture a video has no frames.

    Args:
        path: The video file.
        interval: The seconds between frames, > 0: m of Section 3.2.
        backend: The library that decodes. What decord reads wrongly is left to PyAV.
        longest: The most pixels of a frame's longer side; larger frames are scaled down to it.
        patience: Seconds without progress after which the decoder is ended.

    Raises:
        UserError: The file cannot be read, holds no frames, is cut off, or is damaged in between; or the decoder makes
            no progress, or dies of it.
    """
    for _, frame in read_views(path, [View(interval, "nearest", Longest(longest))], backend, patience):
        yield frame


def read_views(
    path: Path, views: Sequence[View], backend: Backend, patience: float = PATIENCE
) -> Iterator[tuple[int, Frame]]:
    """The frames of several views of a video in one pass over it, each with the number of its view.

    Each view's frames come in order; those of several views as they are shown. A view with `fps` has a frame for each
    of the ⌊end / interval + 1/2⌋ times, at least one, the first also for the time before the first picture.

    Raises:
        UserError: as `read_frames`.
    """
    for number, time, shown, pixels in answers(path, patience, "frames", backend, list(views)):
        yield number, Frame(time, shown, pixels)


def from_start(frames: Iterator[Frame], interval: float) -> Iterator[Pixels]:
    """Pictures from 0 s on: the first one stands also for the time before it, in which there is only sound.

    Args:
        frames: What `read_frames` gave.
        interval: The seconds between them.
    """
    for number, frame in enumerate(frames):
        for _ in range(round(frame.time / interval) if number == 0 else 0):
            yield frame.pixels
        yield frame.pixels


def duration_of(path: Path, patience: float = PATIENCE) -> float:
    """The player's time in seconds at which a video's last frame ends.

    Raises:
        UserError: as `read_frames`.
    """
    ((end,),) = answers(path, patience, "duration")
    return float(end)


def rate_of(path: Path, patience: float = PATIENCE) -> float:
    """The frames a second that a video file states, on average; 0 if it does not say.

    Raises:
        UserError: as `read_frames`.
    """
    ((rate,),) = answers(path, patience, "rate")
    return float(rate)


def sample_fps(starts: NDArray[np.float64], end: float, interval: float) -> tuple[list[float], list[int]]:
    """What FFmpeg's filter `fps` gives: for time k · interval the last frame with ⌊start / interval + 1/2⌋ <= k.

    Args:
        starts: as in `sample`.
        end: The end of the last frame in seconds.
        interval: 1 / rate.
    """
    count = max(int(end / interval + 0.5 + 1e-6), 1)
    before = (np.arange(count) + 0.5) * interval - _ROUNDING_SECONDS
    indices = np.searchsorted(starts, before, side="right") - 1
    return (interval * np.arange(count)).round(6).tolist(), indices.clip(0).tolist()


def sample(starts: NDArray[np.float64], end: float, interval: float) -> tuple[list[float], list[int]]:
    """The multiples of `interval` at which a video shows something, and for each the index of the nearest frame.

    Args:
        starts: (n,) times of the frames in seconds, ascending, n >= 1, the first not below 0.
        end: The end of the last frame in seconds. A time in its second half is not asked for, as no frame is near it,
            and so for times before the first one, but for those just before it: sound begins a little earlier in many
            files. A video too short for any multiple has the one nearest to its start.
        interval: The seconds between the times that are asked for.
    """
    begin, last = float(starts[0]), float(starts[-1])
    lead = max(float(starts[1] - starts[0] if len(starts) > 1 else end - begin) / 2, min(interval / 2, _LEAD_SECONDS))
    first = max(int(np.ceil((begin - lead) / interval - 1e-6)), 0)
    after_last = int((last + max(end - last, 0.0) / 2) / interval + 1e-6) + 1
    if after_last <= first:
        first, after_last = round(begin / interval), round(begin / interval) + 1
    times = (interval * np.arange(first, after_last)).round(6)
    if len(starts) == 1:
        return times.tolist(), [0] * len(times)
    after = np.searchsorted(starts, times).clip(1, len(starts) - 1)
    # decord's times are in single precision: without the tolerance a tie would fall differently in each reader.
    nearer = np.where(times - starts[after - 1] <= starts[after] - times + _TIE_SECONDS, after - 1, after)
    return times.tolist(), nearer.tolist()
