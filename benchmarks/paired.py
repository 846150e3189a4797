"""Timing of rivals run in turn: each round gives a ratio, so that what else the machine does falls on all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from tqdm import trange

Step = Callable[[], object]


class Timing(NamedTuple):
    """Of one rival: its median in seconds, and its time relative to the first rival, median and middle 80 %."""

    seconds: float
    ratio: float
    least: float
    most: float

    def __str__(self) -> str:
        return (
            f"{1000 * self.seconds:7.0f} ms, ratio {self.ratio:.2f} (10 to 90 %: {self.least:.2f} to {self.most:.2f})"
        )


def seconds(step: Step, clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    step()
    return clock() - start


def compare(rivals: Mapping[str, Step], rounds: int, of_processor: bool = False) -> dict[str, Timing]:
    """Time every rival once a round, after two rounds that do not count.

    The processor's time is that of this process alone, of all its threads: on a machine that is shared, one thread's
    says more than the clock's.
    """
    for step in [*rivals.values()] * 2:
        step()
    clock = time.process_time if of_processor else time.perf_counter
    times = [[seconds(step, clock) for step in rivals.values()] for _ in trange(rounds, leave=False)]
    timings = {}
    for name, own in zip(rivals, zip(*times, strict=True), strict=True):
        ratios = sorted(mine / every[0] for mine, every in zip(own, times, strict=True))
        tenth = len(ratios) // 10
        timings[name] = Timing(
            statistics.median(own), statistics.median(ratios), ratios[tenth], ratios[len(ratios) - 1 - tenth]
        )
    return timings
