"""The contract of a text encoder: words and sentences to vectors, frozen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Words(NamedTuple):
    """The words of one sentence: features (Q, dim) float32, and (Q,) bool, True where the encoder knows no vector."""

    features: NDArray[np.float32]
    unknown: NDArray[np.bool_]


class Texts(Protocol):
    """Texts that are counted and can be gone through more than once: a list, or a file read anew each time."""

    def __iter__(self) -> Iterator[str]: ...

    def __len__(self) -> int: ...


class TextEncoder(Protocol):
    """Turns sentences into word vectors (for queries) and sentence vectors (for narratives)."""

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the vectors: model and settings, as JSON can say them. Stores made by another are made anew."""
        ...

    def missing(self) -> list[str]:
        """What to do about files that the encoder reads and that do not exist; nothing if they do."""
        ...

    def words(self, sentences: Texts) -> Iterator[Words]:
        """The words of each sentence, in order. No more than a part of the sentences is held in memory."""
        ...

    def sentences(self, texts: Texts) -> Iterator[NDArray[np.float32]]:
        """One vector (dim,) for each text (F_T and Sent of Eq. 3), in order; memory as for `words`."""
        ...
