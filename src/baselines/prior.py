"""Moments drawn from where training moments lie, without a look at video or query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import gaussian_kde

from src.baselines.baseline import Question, Reads
from src.errors import UserError
from src.runs.predictions import Prediction


class Prior:
    """The bias-based baseline of Yuan et al. (A Closer Look at Temporal Sentence Grounding in Videos, 2021).

    A Gaussian kernel density is fitted to the training moments' (start, end) as shares of their videos, and the answers
    are drawn from it, best first as they come. Draws that are no moment are drawn again.

    Args:
        seed: The seed of the draws.
    """

    reads: ClassVar[Reads] = "moments"

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.density: gaussian_kde | None = None

    def fit(self, questions: Sequence[Question]) -> None:
        shares = [
            (start / question.moment.duration, end / question.moment.duration)
            for question in questions
            for start, end in question.moment.windows
        ]
        try:
            self.density = gaussian_kde(np.array(shares).T)
        except (ValueError, np.linalg.LinAlgError) as error:
            raise UserError(
                f"baseline prior: no density can be fitted to {len(shares)} training moments, too few or too alike"
            ) from error

    def predict(self, questions: Sequence[Question], top: int) -> list[Prediction]:
        drawn = self._draw(len(questions) * top).reshape(len(questions), top, 2)
        answers = []
        for question, shares in zip(questions, drawn, strict=True):
            seconds = shares * question.moment.duration
            windows = tuple((float(start), float(end), -float(rank)) for rank, (start, end) in enumerate(seconds))
            answers.append(Prediction(question.moment.query_id, windows))
        return answers

    def _draw(self, count: int) -> NDArray[np.float64]:
        """(count, 2) shares with 0 <= start < end <= 1."""
        assert self.density is not None
        random = np.random.default_rng(self.seed)
        drawn = np.empty((0, 2))
        while len(drawn) < count:
            more = self.density.resample(count, seed=random).T
            drawn = np.concatenate((drawn, more[(more[:, 0] >= 0) & (more[:, 0] < more[:, 1]) & (more[:, 1] <= 1)]))
        return drawn[:count]
