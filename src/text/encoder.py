"""The contract of a text encoder: words and sentences to vectors, frozen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Words(NamedTuple):
    """The words of one sentence: features (Q, dim) float32, and (Q,) bool, True where the encoder knows no vector."""

    features: NDArray[np.float32]
    unknown: NDArray[np.bool_]


class TextEncoder(Protocol):
    """Turns sentences into word vectors (for queries) and sentence vectors (for narratives)."""

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the vectors: model and settings. Stores made by another are made anew."""
        ...

    def missing(self) -> list[str]:
        """What to do about files that the encoder reads and that do not exist; nothing if they do."""
        ...

    def words(self, sentences: Sequence[str]) -> Iterator[Words]:
        """The words of each sentence, in order."""
        ...

    def sentences(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One vector for each text (F_T and Sent of Eq. 3): (n, dim)."""
        ...
