"""Paired bootstrap over queries: how sure is a difference between two runs?"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Values drawn at once, 16 MB of them and as much of their counts, and columns that are multiplied at once.
_AT_ONCE = 2_000_000
_COLUMNS = 24


class Difference(NamedTuple):
    """Mean differences, their 95 % percentile intervals, and the two-sided p-values of no difference, each (...)."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    p: NDArray[np.float64]


def paired_bootstrap(
    ours: NDArray[np.floating], theirs: NDArray[np.floating], resamples: int = 10_000, seed: int = 0
) -> Difference:
    """The mean of ours − theirs over queries, with queries drawn again (Efron and Tibshirani 1993, chapters 13 and 16).

    The draws are the same for all that is compared, which is done side by side.

    Args:
        ours, theirs: (..., n) a value for each query, of the same queries in the same order; they broadcast.
        resamples: The number of times that n queries are drawn with replacement; 10,000 by default.
        seed: The seed of the draws; 0 by default.
    """
    ours, theirs = np.broadcast_arrays(ours, theirs)
    shape, count = ours.shape[:-1], ours.shape[-1]
    ours, theirs = np.atleast_2d(ours), np.atleast_2d(theirs)
    some = max(1, _COLUMNS // math.prod(shape[1:]))
    parts = [slice(start, start + some) for start in range(0, len(ours), some)]
    mean = np.concatenate([_differences(ours[part], theirs[part]).mean(axis=1) for part in parts])
    if count < 2:  # of one query every draw is the same
        return Difference(*(values.reshape(shape)[()] for values in (mean, mean, mean, np.ones(len(mean)))))
    # In single precision, which keeps a sign and a zero what they are: with many runs they are many.
    means = np.empty((resamples, len(mean)), np.float32)
    generator = np.random.default_rng(seed)
    size = max(1, _AT_ONCE // count)
    for start in range(0, resamples, size):
        block = means[start : start + size]
        drawn = generator.integers(0, count, (len(block), count))
        drawn += count * np.arange(len(block))[:, None]
        # How often each query was drawn, so that a mean is a product.
        times = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape) / count
        products = [times @ _differences(ours[part], theirs[part]).T for part in parts]
        np.concatenate(products, axis=1, out=block)
    # The observed sample counts as one, so that p is never 0.
    tail = np.minimum((means <= 0).sum(axis=0), (means >= 0).sum(axis=0))
    p = np.minimum(1.0, 2 * (tail + 1) / (resamples + 1))
    low, high = np.percentile(means, (2.5, 97.5), axis=0, overwrite_input=True)
    return Difference(*(values.reshape(shape)[()] for values in (mean, low, high, p)))


def _differences(ours: NDArray[np.floating], theirs: NDArray[np.floating]) -> NDArray[np.float64]:
    """The differences of some rows (rows, n), however many axes they are counted by."""
    return (ours.astype(np.float64) - theirs).reshape(-1, ours.shape[-1])
