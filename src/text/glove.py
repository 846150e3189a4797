"""GloVe vectors (Pennington et al., EMNLP 2014) in the layout of the official files: `word v1 … vn` a line."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from src.errors import UserError
from src.text.encoder import Words
from src.text.tokens import words as split

_log = logging.getLogger(__name__)


class Glove:
    """Word vectors from a file of which only the words in use are kept.

    Args:
        path: of the vectors.
        dim: their size.
        source: where the file comes from, for the message when it is missing.
    """

    def __init__(self, path: str, dim: int, source: str) -> None:
        self.path = Path(path)
        self.dim = dim
        self.source = source

    @property
    def identity(self) -> dict[str, Any]:
        size = self.path.stat().st_size if self.path.is_file() else None
        return {"encoder": "glove", "file": self.path.name, "bytes": size, "dim": self.dim}

    def missing(self) -> list[str]:
        if self.path.is_file():
            return []
        return [f"no word vectors at {self.path}: get them from {self.source}, or set text.encoder.path"]

    def words(self, sentences: Sequence[str]) -> Iterator[Words]:
        tokens = [split(sentence) for sentence in sentences]
        vectors = self._vectors({word for sentence in tokens for word in sentence})
        nothing = np.zeros(self.dim, np.float32)
        for sentence in tokens:
            features = np.stack([vectors.get(word, nothing) for word in sentence])
            yield Words(features, np.array([word not in vectors for word in sentence]))

    def sentences(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The mean of a text's known words (Sent of Eq. 3); zeros where none is known."""
        vectors = self._vectors({word for text in texts for word in split(text)})
        means = np.zeros((len(texts), self.dim), np.float32)
        for mean, text in zip(means, texts, strict=True):
            known = [vectors[word] for word in split(text) if word in vectors]
            if known:
                mean[:] = np.mean(known, axis=0)
        return means

    def _vectors(self, vocabulary: set[str]) -> dict[str, NDArray[np.float32]]:
        if missing := self.missing():
            raise UserError(missing[0])
        vectors: dict[str, NDArray[np.float32]] = {}
        with (
            self.path.open(encoding="utf-8") as lines,
            tqdm(total=self.path.stat().st_size, unit="B", unit_scale=True, desc=self.path.name, delay=3) as progress,
        ):
            for number, line in enumerate(lines, start=1):
                progress.update(len(line))
                # Split from the right: a few words of the official files have spaces in them.
                word, *values = line.rstrip("\n").rsplit(" ", self.dim)
                if word in vocabulary:
                    vectors[word] = self._parse(values, number)
        _log.info("%s: %d of %d words in use have a vector", self.path.name, len(vectors), len(vocabulary))
        if not vectors:
            raise UserError(f"{self.path} has a vector for none of the {len(vocabulary)} words in use")
        return vectors

    def _parse(self, values: list[str], number: int) -> NDArray[np.float32]:
        try:
            vector = np.array(values, dtype=np.float32)
        except ValueError as error:
            raise UserError(f"{self.path}, line {number}: not a word and {self.dim} numbers") from error
        if vector.shape != (self.dim,) or not np.isfinite(vector).all():
            raise UserError(f"{self.path}, line {number}: not a word and {self.dim} numbers")
        return vector
