"""Frames that show what the last narrated one showed, by a measure that costs a fraction of a millisecond."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from src.videos.frames import Frame, Pixels

_SIDE = 24


class Shown(NamedTuple):
    """A frame, and the times after it at which the video shows nearly the same."""

    frame: Frame
    again: tuple[float, ...]


def without_similar(frames: Iterable[Frame], most: float | None) -> Iterator[Shown]:
    """The frames that differ from the last one given by more than `most`, each with the times of those left out.

    The measure is the mean absolute difference of grey pictures of 24 × 24, in [0, 255].

    Args:
        frames: Those of a video, in order.
        most: None leaves none out.
    """
    held: Frame | None = None
    thumb: NDArray[np.float32] | None = None
    again: list[float] = []
    for frame in frames:
        small = None if most is None else thumbnail(frame.pixels)
        if held is not None and thumb is not None and small is not None and np.abs(small - thumb).mean() <= (most or 0):
            again.append(frame.time)
            continue
        if held is not None:
            yield Shown(held, tuple(again))
        held, thumb, again = frame, small, []
    if held is not None:
        yield Shown(held, tuple(again))


def thumbnail(pixels: Pixels) -> NDArray[np.float32]:
    """A picture in grey, (24, 24) in [0, 255]."""
    grey = Image.fromarray(pixels).convert("L")
    return np.asarray(grey.resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float32)
