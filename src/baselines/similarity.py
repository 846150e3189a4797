"""The training-free scorer: the run of snippets whose narratives match the query best."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import ClassVar

import torch

from src.baselines.baseline import Question, Reads
from src.data.similarity import Pooling, pooled, standardised
from src.moments import iou, snippets_to_seconds
from src.runs.predictions import Prediction, Scored

_log = logging.getLogger(__name__)


class Similarity:
    """Answers with the contiguous runs of snippets whose lowered similarities sum highest, none overlapping another.

    Args:
        constants: The numbers by which similarities may be lowered; the one with the highest mIoU on the training split
            is taken.
        rewordings: The similarity of a query that has rewordings: the `mean` of theirs and its own, or the `best`.
    """

    reads: ClassVar[Reads] = "similarities"

    def __init__(self, constants: Sequence[float], rewordings: Pooling) -> None:
        self.constants = constants
        self.rewordings = rewordings
        self.constant = constants[0]

    def fit(self, questions: Sequence[Question]) -> None:
        self.constant = max(self.constants, key=lambda constant: self._mean_iou(questions, constant))
        _log.info("similarities are lowered by %g", self.constant)

    def predict(self, questions: Sequence[Question], top: int) -> list[Prediction]:
        return [
            Prediction(question.moment.query_id, tuple(self._windows(question, self.constant, top)))
            for question in questions
        ]

    def _mean_iou(self, questions: Sequence[Question], constant: float) -> float:
        best = []
        for question in questions:
            (start, end, _), *_ = self._windows(question, constant, top=1)
            truth = torch.tensor(question.moment.windows, dtype=torch.float64)
            best.append(iou(torch.tensor([[start, end]], dtype=torch.float64), truth).max())
        return float(torch.stack(best).mean())

    def _windows(self, question: Question, constant: float, top: int) -> list[Scored]:
        assert question.cosines is not None
        every = torch.ones(1, len(question.cosines), dtype=torch.bool)
        similarity = pooled(question.cosines[None], every, self.rewordings)
        gains = (standardised(similarity, torch.ones_like(similarity, dtype=torch.bool))[0] - constant).tolist()
        windows = []
        for first, last, total in best_runs(gains, top):
            start, end = snippets_to_seconds(torch.tensor([first, last]), len(gains), question.moment.duration).tolist()
            windows.append((start, end, total))
        return windows


def best_runs(gains: Sequence[float], top: int) -> list[tuple[int, int, float]]:
    """The runs of highest sum, each without the snippets of those before: (first, last, sum), both ends inclusive.

    There is always one; others are given only while their sum is above 0.

    >>> best_runs([-1.0, 2.0, 1.0, -4.0, 1.0], top=3)
    [(1, 2, 3.0), (4, 4, 1.0)]
    """
    gains = list(gains)
    runs: list[tuple[int, int, float]] = []
    while len(runs) < top:
        first, last, total = _best_run(gains)
        if runs and total <= 0:
            break
        runs.append((first, last, total))
        gains[first : last + 1] = [float("-inf")] * (last + 1 - first)
    return runs


def _best_run(gains: Sequence[float]) -> tuple[int, int, float]:
    """Kadane's algorithm."""
    best = (0, 0, float("-inf"))
    first, total = 0, float("-inf")
    for last, gain in enumerate(gains):
        if total <= 0:
            first, total = last, gain
        else:
            total += gain
        if total > best[2]:
            best = (first, last, total)
    return best
