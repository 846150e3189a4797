"""Paired bootstrap over queries: how sure is a difference between two runs?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

_AT_ONCE = 2_000_000  # values drawn at once, 16 MB of them and as much of their numbers: more is slower


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
        resamples: The number of times that n queries are drawn with replacement; 10,000 by default.
        seed: The seed of the draws; 0 by default.
    """
    differences = ours - theirs
    mean = float(differences.mean())
    if len(differences) < 2:
        return Difference(mean, mean, mean, 1.0)  # of one query every draw is the same, which makes nothing sure
    drawn = bootstrap(
        (differences,),
        np.mean,
        n_resamples=resamples,
        batch=max(1, _AT_ONCE // len(differences)),
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    low, high = drawn.confidence_interval
    means = drawn.bootstrap_distribution
    # The observed sample counts as one, so that p is never 0.
    tail = min((means <= 0).sum(), (means >= 0).sum())
    p = min(1.0, 2 * (tail + 1) / (resamples + 1))
    return Difference(mean, float(low), float(high), float(p))
