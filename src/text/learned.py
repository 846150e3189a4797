"""Words without a table: each has a fixed random vector, and what it means is left to the network to learn."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.text.encoder import Texts, Words
from src.text.words import WordVectors

_log = logging.getLogger(__name__)


class Learned(WordVectors):
    """Random directions, nearly orthogonal, of length one: the network's projection of them is learned, which is what a
    table of vectors learned from scratch is.

    Args:
        dim: The numbers of a vector; as many as the vocabulary has words, or more, let every word go its own way.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim

    @property
    def identity(self) -> dict[str, Any]:
        return {"encoder": "learned", "dim": self.dim}

    def missing(self) -> list[str]:
        return []  # it reads nothing

    def words(self, sentences: Texts) -> Iterator[Words]:
        _log.warning(
            "text=learned: words mean what training teaches. One that no training query has means nothing to the "
            "network, so expect a split of novel words to fall to what the rest of its queries says"
        )
        return super().words(sentences)

    def vectors(self, vocabulary: Sequence[str]) -> Words:
        """The vectors of words: all are known."""
        features = np.empty((len(vocabulary), self.dim), np.float32)
        for place, word in enumerate(vocabulary):
            features[place] = _vector(word, self.dim)
        return Words(features, np.zeros(len(vocabulary), bool))

    def pool(self, words: Words) -> NDArray[np.float32]:
        """The sum of a text's words over the root of their number, which keeps the length of a word's vector."""
        return (words.features.sum(axis=0) / np.sqrt(len(words.features))).astype(np.float32)


def _vector(word: str, dim: int) -> NDArray[np.float32]:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(dim)
    return (vector / np.linalg.norm(vector)).astype(np.float32)
