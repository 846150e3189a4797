"""Paired bootstrap over queries: how sure is a difference between two runs?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Difference(NamedTuple):
    """A mean difference, its 95 % percentile interval, and the two-sided p-value of no difference."""

    mean: float
    low: float
    high: float
    p: float


def paired_bootstrap(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], resamples: int = 10_000, seed: int = 0
) -> Difference:
    """The mean of ours − theirs over queries, with queries drawn again (Efron and Tibshirani 1993, chapters 13 and 16).

    Args:
        ours, theirs: (n,) a value for each query, of the same queries in the same order.
        resamples: how often n queries are drawn with replacement.
        seed: of the draws.
    """
    differences = ours - theirs
    random = np.random.default_rng(seed)
    # As many draws at once as fit in memory.
    at_once = max(1, 20_000_000 // len(differences))
    sizes = [min(at_once, resamples - done) for done in range(0, resamples, at_once)]
    count = len(differences)
    means = np.concatenate([differences[random.integers(count, size=(size, count))].mean(1) for size in sizes])
    low, high = np.percentile(means, [2.5, 97.5])
    # The observed sample counts as one, so that p is never 0.
    tail = min((means <= 0).sum(), (means >= 0).sum())
    p = min(1.0, 2 * (tail + 1) / (resamples + 1))
    return Difference(float(differences.mean()), float(low), float(high), float(p))
