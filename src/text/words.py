"""Encoders in which a word has one vector, wherever it stands: what GloVe and vectors that mean nothing yet share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Sequence
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.progress import Progress
from src.text.encoder import Texts, Words
from src.text.tokens import words as split


class Tokens:
    """Texts as the numbers of their words. Each is split once; the numbers, which may be many, wait in a file.

    Args:
        texts: The texts, gone through once.

    Attributes:
        vocabulary: The different words, in the order of their numbers.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        numbers: dict[str, int] = {}
        self._counts = array("I")
        self._file = TemporaryFile()  # noqa: SIM115 closed, and gone, with this object
        for text in texts:
            row = array("i", [numbers.setdefault(word, len(numbers)) for word in split(text)])
            row.tofile(self._file)
            self._counts.append(len(row))
        self.vocabulary = list(numbers)

    def __len__(self) -> int:
        return len(self._counts)

    def __iter__(self) -> Iterator[NDArray[np.int32]]:
        self._file.seek(0)
        for count in self._counts:
            yield np.frombuffer(self._file.read(4 * count), np.int32)


class WordVectors(ABC):
    """A text encoder whose words have a vector each. A subclass says which, and what a sentence makes of them."""

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """As `TextEncoder` says."""

    @abstractmethod
    def missing(self) -> list[str]:
        """As `TextEncoder` says."""

    @abstractmethod
    def vectors(self, vocabulary: Sequence[str]) -> Words:
        """The vectors of different words (V, dim), zeros where there is none, and which have none (V,)."""

    @abstractmethod
    def pool(self, words: Words) -> NDArray[np.float32]:
        """The vector (dim,) of a sentence of these words."""

    def table(self, texts: Iterable[str]) -> tuple[Words, Iterable[NDArray[np.int32]]]:
        """Each word of the texts once (V, dim), and for each text which of them it is made of (Q,)."""
        tokens = Tokens(texts)
        return self.vectors(tokens.vocabulary), tokens

    def words(self, sentences: Texts) -> Iterator[Words]:
        """The words of each sentence."""
        return self._of_each(sentences)

    def sentences(self, texts: Texts) -> Iterator[NDArray[np.float32]]:
        """One vector for each text."""
        return map(self.pool, self._of_each(Progress(texts, "splitting into words", "text")))

    def _of_each(self, texts: Iterable[str]) -> Iterator[Words]:
        words, rows = self.table(texts)
        for row in rows:
            yield Words(words.features[row], words.unknown[row])
