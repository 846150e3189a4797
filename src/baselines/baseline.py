"""The contract of a baseline: it answers queries by what it knows of training moments, and learns no network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple, Protocol

from torch import Tensor

from src.data.records import Moment
from src.runs.predictions import Prediction


class Question(NamedTuple):
    """A query, and for a baseline that reads narratives how well each snippet's narrative agrees with it.

    Attributes:
        moment: The query and its video; a baseline looks at its windows only while it is fitted.
        cosines: (1 + R, L) cosine similarity with the query and with each of its R rewordings, or None.
    """

    moment: Moment
    cosines: Tensor | None


class Baseline(Protocol):
    """Fitted on the training split, then asked about another."""

    reads_narratives: ClassVar[bool]

    def fit(self, questions: Sequence[Question]) -> None:
        """Take what it needs from the training split."""
        ...

    def predict(self, questions: Sequence[Question], top: int) -> list[Prediction]:
        """At most `top` moments for each question, in their order."""
        ...
