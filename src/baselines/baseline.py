"""The contract of a baseline: it answers queries by what it knows of training moments, and learns no network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple, Protocol

from torch import Tensor

from src.data.records import Moment, Narratives
from src.runs.predictions import Prediction

Reads = Literal["moments", "similarities", "narratives"]
"""What a baseline reads: training moments alone, how similar narratives and query are, or the narratives themselves."""


class Question(NamedTuple):
    """A query, and what a baseline reads besides.

    Attributes:
        moment: The query and its video; a baseline looks at its windows only while it is fitted.
        cosines: (1 + R, L) cosine similarity with the query and with each of its R rewordings, for
            one that reads similarities.
        told: The narratives of the video, for one that reads narratives.
    """

    moment: Moment
    cosines: Tensor | None = None
    told: Narratives | None = None


class Baseline(Protocol):
    """Fitted on the training split, then asked about another."""

    reads: ClassVar[Reads]

    def fit(self, questions: Sequence[Question]) -> None:
        """Take what it needs from the training split."""
        ...

    def predict(self, questions: Sequence[Question], top: int) -> list[Prediction]:
        """At most `top` moments for each question, in their order."""
        ...
