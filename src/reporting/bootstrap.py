"""Paired bootstrap over queries and seeds: how sure is a difference between two variants?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Values drawn at once, 16 MB of them and as much of their counts, and columns that are multiplied at once.
_AT_ONCE = 2_000_000
_COLUMNS = 24


class Difference(NamedTuple):
    """Mean differences, their 95 % percentile intervals, and the two-sided p-values of no difference, each (V, …)."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    p: NDArray[np.float64]


def paired_bootstrap(
    ours: Sequence[NDArray[np.floating]],
    theirs: NDArray[np.floating],
    resamples: int = 10_000,
    seed: int = 0,
) -> Difference:
    """The mean of ours − theirs, with queries and seeds drawn again (Efron and Tibshirani 1993, chapters 13 and 16).

    The draws are the same for all that is compared, which is done side by side. As many seeds as theirs are drawn
    together with them, other numbers by themselves.

    Args:
        ours: Of V variants the values (seeds, …, n) of each query by a run with each seed.
        theirs: (seeds, …, n), of the same queries in the same order.
        resamples: The number of times that n queries, and the seeds, are drawn with replacement; 10,000 by default.
        seed: The seed of the draws; 0 by default.
    """
    count, inner = theirs.shape[-1], theirs.shape[1:-1]
    alike = [len(each) == len(theirs) for each in ours]
    values = [each - theirs if paired else each for each, paired in zip(ours, alike, strict=True)]
    mean = np.stack([each.mean(axis=(0, -1), dtype=float) - theirs.mean(axis=(0, -1), dtype=float) for each in ours])
    if count < 2:  # says nothing of others
        return Difference(mean, mean, mean, np.ones_like(mean))
    # In single precision, which keeps a sign and a zero what they are: with many runs they are many.
    means = np.empty((resamples, len(ours), *inner), np.float32)
    generator, of_seeds = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    weights = {number: _times(of_seeds, resamples, number) for number in sorted({len(theirs), *map(len, ours)})}
    size = max(1, _AT_ONCE // count)
    for start in range(0, resamples, size):
        block = means[start : start + size]
        # How often each query was drawn, so that a mean is a product.
        times = _times(generator, len(block), count)
        of_theirs = next(_means([theirs], times, weights, start))
        for variant, drawn in enumerate(_means(values, times, weights, start)):
            block[:, variant] = drawn if alike[variant] else drawn - of_theirs
    # The observed sample counts as one, so that p is never 0.
    tail = np.minimum((means <= 0).sum(axis=0), (means >= 0).sum(axis=0))
    p = np.minimum(1.0, 2 * (tail + 1) / (resamples + 1))
    low, high = np.percentile(means, (2.5, 97.5), axis=0, overwrite_input=True)
    return Difference(mean, low, high, p)


def _times(generator: np.random.Generator, draws: int, count: int) -> NDArray[np.float64]:
    """The share (draws, count) that each of `count` has in a draw of as many with replacement."""
    if count == 1:
        return np.ones((draws, 1))
    drawn = generator.integers(0, count, (draws, count))
    drawn += count * np.arange(draws)[:, None]
    return np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape) / count


def _means(
    values: Sequence[NDArray[np.floating]],
    times: NDArray[np.float64],
    weights: Mapping[int, NDArray[np.float64]],
    start: int,
) -> Iterator[NDArray[np.float64]]:
    """The means (draws, …) of each of `values` (s, …, n) by the shares of queries (draws, n) and of s seeds."""
    draws, count = times.shape
    some = max(1, _COLUMNS // (values[0].size // count))
    for first in range(0, len(values), some):
        group = values[first : first + some]
        rows = np.concatenate([each.reshape(-1, count) for each in group]).astype(np.float64)
        ends = np.cumsum([each.size // count for each in group])
        for each, means in zip(group, np.split(times @ rows.T, ends[:-1], axis=1), strict=True):
            seeds = weights[len(each)][start : start + draws]
            yield np.einsum("ds...,ds->d...", means.reshape(draws, *each.shape[:-1]), seeds)
