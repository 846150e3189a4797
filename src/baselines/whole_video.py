"""The answer that is the whole video, whatever the query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from src.baselines.baseline import Question, Reads
from src.runs.predictions import Prediction


class WholeVideo:
    """Knows nothing and looks at nothing."""

    reads: ClassVar[Reads] = "moments"

    def fit(self, questions: Sequence[Question]) -> None:
        """There is nothing to take."""

    def predict(self, questions: Sequence[Question], top: int) -> list[Prediction]:
        return [Prediction(question.moment.query_id, ((0.0, question.moment.duration, 1.0),)) for question in questions]
