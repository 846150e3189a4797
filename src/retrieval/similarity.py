"""Search without a network: runs of narratives that match the sentence, ranked by how well their window does.

Standardised within the window, cosines only decide where a run begins and ends; how a moment compares with those of
other videos is told by the cosines as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from src.baselines.similarity import best_runs
from src.retrieval.index import Candidate, Question
from src.retrieval.ranker import Found, Source

WINDOW = ("max", "best3", "best5", "best10", "mean", "words", "place", "word_place")
"""What the probability of a window is made of: its highest cosine, the means of the highest 3, 5 and 10 and of all; how
well the words of its video match (BM25, as a share of the most possible); and 10 / (10 + n) where n windows have a
higher mean of 5, and where the words of n match better."""

RUN = ("first", "sum", "share", "length")
"""What the probability of a run is made of, given that its window is right: whether it is the window's best, the sum of
its gains over the root of their number, that sum over the best run's, and its share of the window."""


class Similarity:
    """A `Ranker` that needs no training but the calibration of its probabilities: two logistic regressions.

    Args:
        lowered: The number by which cosines, standardised in their window, are lowered before they are summed.
        runs: Moments of a window, at most.
        candidates: Windows of a collection that are looked at.
        window: The weights of `WINDOW` in the log-odds that a window's video is the right one, and a `bias`.
        run: The weights of `RUN` in the log-odds that a run of the right window is the moment, and a `bias`.
    """

    def __init__(
        self, lowered: float, runs: int, candidates: int, window: Mapping[str, float], run: Mapping[str, float]
    ) -> None:
        self.lowered, self.runs, self.candidates = lowered, runs, candidates
        self._window = np.array([window["bias"], *(window[name] for name in WINDOW)])
        self._run = np.array([run["bias"], *(run[name] for name in RUN)])

    def __call__(self, question: Question, candidates: Sequence[Candidate], source: Source) -> list[Found]:
        found = []
        for candidate, right in zip(candidates, self.probabilities(candidates), strict=True):
            for (start, end), numbers in self.moments(candidate):
                found.append(Found(candidate.video, start, end, right * sigmoid(self._run, numbers)))
        return found

    def probabilities(self, candidates: Sequence[Candidate]) -> list[float]:
        """Of each window that its video is the one that is asked for."""
        return [sigmoid(self._window, numbers) for numbers in window_numbers(candidates)]

    def moments(self, candidate: Candidate) -> list[tuple[tuple[float, float], NDArray[np.float64]]]:
        """The runs of a window as (start, end) in seconds, best first, each with the numbers of `RUN`."""
        cosines = candidate.cosines.astype(np.float64)
        spread = cosines.std()
        # In a window that is told in one sentence throughout, every narrative matches alike.
        gains = (cosines - cosines.mean()) / (spread if spread > 1e-6 else 1.0) - self.lowered
        runs = best_runs(gains.tolist(), self.runs)
        best = max(runs[0][2], 1e-6)
        return [
            (
                (float(candidate.spans[first, 0]), float(candidate.spans[last, 1])),
                _run_numbers(number, last + 1 - first, total, best, len(cosines)),
            )
            for number, (first, last, total) in enumerate(runs)
        ]


def window_numbers(candidates: Sequence[Candidate]) -> NDArray[np.float64]:
    """The numbers of `WINDOW` (n, 8) of the candidates of one sentence."""
    numbers = np.empty((len(candidates), len(WINDOW)))
    for row, candidate in zip(numbers, candidates, strict=True):
        sums = np.sort(candidate.cosines.astype(np.float64))[::-1].cumsum()
        counts = np.minimum((1, 3, 5, 10, len(sums)), len(sums))
        row[:5], row[5] = sums[counts - 1] / counts, candidate.words
    for column, of in ((6, 2), (7, 5)):
        higher = (numbers[:, of] > numbers[:, of, None]).sum(axis=1)
        numbers[:, column] = 10 / (10 + higher)
    return numbers


def _run_numbers(number: int, length: int, total: float, best: float, window: int) -> NDArray[np.float64]:
    """The numbers of `RUN`."""
    return np.array([float(number == 0), total / np.sqrt(length), max(total, 0.0) / best, length / window])


def sigmoid(weights: NDArray[np.float64], numbers: NDArray[np.float64]) -> float:
    """The probability that a logistic regression gives for numbers (n,), of weights (1 + n,) with the bias first."""
    return float(1 / (1 + np.exp(-(weights[0] + weights[1:] @ numbers))))
