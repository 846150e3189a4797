"""VTG-GPT's scoring (Xu et al., Applied Sciences 14(5), 2024), as its released code computes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from src.baselines.baseline import Question, Reads
from src.moments import snippets_to_seconds
from src.runs.predictions import Prediction

_BINS = 10


class Proposal(NamedTuple):
    """First and last snippet, both inclusive, and a score."""

    first: int
    last: int
    score: float


class VtgGpt:
    """Runs of snippets above a threshold of their own for the query and each of its rewordings, pooled.

    Its narratives are MiniGPT-v2's of QVHighlights, its encoder paraphrase-distilroberta-base-v2; here both are as
    configured.

    Args:
        least: The snippets that must reach the threshold, which is lowered by tenths of the range until they do.
        gap: The most snippets by which the next of a proposal follows.
        most_overlap: The IoU from which on a proposal of lower score is left out. Of first and last snippets, as
            published: a proposal of one snippet has no length by it.
    """

    reads: ClassVar[Reads] = "similarities"

    def __init__(self, least: int, gap: int, most_overlap: float) -> None:
        self.least = least
        self.gap = gap
        self.most_overlap = most_overlap

    def fit(self, questions: Sequence[Question]) -> None:
        """There is nothing to take."""

    def predict(self, questions: Sequence[Question], top: int) -> list[Prediction]:
        return [self._answer(question, top) for question in questions]

    def _answer(self, question: Question, top: int) -> Prediction:
        assert question.cosines is not None
        rows = [_scaled(row) for row in question.cosines.double().numpy()]
        proposals = [proposal for row in rows for proposal in propose(row, self.least, self.gap)]
        kept = suppress(proposals, self.most_overlap)[:top]
        spans = torch.tensor([proposal[:2] for proposal in kept])
        seconds = snippets_to_seconds(spans, len(rows[0]), question.moment.duration)
        windows = [(*window, proposal.score) for window, proposal in zip(seconds.tolist(), kept, strict=True)]
        return Prediction(question.moment.query_id, windows, np.mean(rows, axis=0))


def propose(scores: NDArray[np.float64], least: int, gap: int) -> list[Proposal]:
    """The proposals of scores (L,) in [0, 1]; the whole video where none is above another.

    A proposal's score is the mean of two shares: that of the chosen snippets which are its own, and the mean of theirs.
    """
    counts, edges = np.histogram(scores, _BINS, (0, 1))
    reached = np.flatnonzero(counts[::-1].cumsum()[::-1] >= least)
    chosen = np.flatnonzero(scores > (edges[reached[-1]] if len(reached) else 0))
    if not len(chosen):
        return [Proposal(0, len(scores) - 1, 0.0)]
    runs = np.split(chosen, np.flatnonzero(np.diff(chosen) > gap) + 1)
    return [Proposal(int(run[0]), int(run[-1]), float(len(run) / len(chosen) + scores[run].mean()) / 2) for run in runs]


def suppress(proposals: Sequence[Proposal], most_overlap: float) -> list[Proposal]:
    """The proposals by descending score, without those that overlap a better one by `most_overlap` or more."""
    kept: list[Proposal] = []
    for proposal in sorted(proposals, key=lambda each: -each.score):
        if all(_overlap(proposal, better) < most_overlap for better in kept):
            kept.append(proposal)
    return kept


def _scaled(cosines: NDArray[np.float64]) -> NDArray[np.float64]:
    """To [0, 1]; all 0 where they are all the same."""
    low, high = cosines.min(), cosines.max()
    return (cosines - low) / (high - low) if high > low else np.zeros_like(cosines)


def _overlap(one: Proposal, other: Proposal) -> float:
    shared = max(0, min(one.last, other.last) - max(one.first, other.first))
    union = (one.last - one.first) + (other.last - other.first) - shared
    return shared / union if union else 0.0
