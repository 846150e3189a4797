"""How a video's narratives are looked at: in windows of a bounded length, each narrative over its own seconds."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

LONGEST = 75
"""The narratives of a window, at most: those of 150 s where one stands for two, as in QVHighlights."""

# Times on a grid agree with it up to this share of its step.
_GRID = 0.05


def windows(count: int) -> list[tuple[int, int]]:
    """The windows over `count` >= 1 narratives, as (first, end) of each, evenly spaced, at least half overlapping.

    >>> windows(75), windows(150)
    ([(0, 75)], [(0, 75), (38, 113), (75, 150)])
    """
    rest = max(count - LONGEST, 0)
    steps = math.ceil(2 * rest / LONGEST)
    starts = [math.ceil(rest * step / steps) if steps else 0 for step in range(steps + 1)]
    return [(start, min(start + LONGEST, count)) for start in starts]


def spans(times: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """The seconds that each narrative stands for: (n, 2).

    On a regular grid those of its cell, whether times are where cells begin (a frame at 0, 1, 2 s) or their middles
    (clips of two seconds at 1, 3, 5 s); elsewhere from halfway to the narrative before to halfway to the one after.

    >>> spans(np.array([1.0, 3.0, 5.0]), 2.0).tolist()
    [[0.0, 2.0], [2.0, 4.0], [4.0, 6.0]]

    Args:
        times: (n,) seconds, ascending, n >= 1.
        step: The seconds that the last narrative, or a single one, stands for.
    """
    gaps = np.diff(times)
    cells = np.maximum((gaps / step).round(), 1)
    if np.all(np.abs(gaps - cells * step) <= _GRID * step):
        starts = times - times[0] % step
        ends = starts + step
    else:
        middles = times[:-1] + gaps / 2
        starts = np.concatenate(([max(times[0] - step / 2, 0.0)], middles))
        ends = np.concatenate((middles, [times[-1] + step / 2]))
    return np.stack((starts, ends), axis=1)


def step_of(times: NDArray[np.float64]) -> float:
    """The usual seconds between narratives; 1 where there is but one."""
    gaps = np.sort(np.diff(times))
    gaps = gaps[gaps > 0]
    # Their median: a query asks for that of a hundred videos, and NumPy's takes longer than all else that is done here.
    return float((gaps[(len(gaps) - 1) // 2] + gaps[len(gaps) // 2]) / 2) if len(gaps) else 1.0
