"""GloVe vectors (Pennington et al., EMNLP 2014) in the layout of the official files: `word v1 … vn` a line."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.errors import UserError
from src.files import digest
from src.progress import Progress
from src.text.encoder import Words
from src.text.words import WordVectors

_log = logging.getLogger(__name__)

Vectors = dict[str, NDArray[np.float32]]


class Glove(WordVectors):
    """Word vectors from a file of which only the words in use are kept.

    Args:
        path: The file of the vectors.
        dim: The numbers of a vector.
        source: Where the file comes from, for the message when it is missing.
    """

    def __init__(self, path: str, dim: int, source: str) -> None:
        self.path = Path(path)
        self.dim = dim
        self.source = source

    @property
    def identity(self) -> dict[str, Any]:
        there = self.path.is_file()
        size, content = (self.path.stat().st_size, digest([self.path])) if there else (None, None)
        return {"encoder": "glove", "file": self.path.name, "bytes": size, "digest": content}

    def missing(self) -> list[str]:
        if self.path.is_file():
            return []
        return [f"no word vectors at {self.path}: get them from {self.source}, or set text.encoder.path"]

    def vectors(self, vocabulary: Sequence[str]) -> Words:
        """The vectors of words, looked up in the file: only theirs are kept."""
        found = self._find(set(vocabulary))
        features = np.zeros((len(vocabulary), self.dim), np.float32)
        for place, word in enumerate(vocabulary):
            if word in found:
                features[place] = found[word]
        return Words(features, np.array([word not in found for word in vocabulary], bool))

    def pool(self, words: Words) -> NDArray[np.float32]:
        """The mean of the known words (Sent of Eq. 3); zeros where none is known."""
        known = words.features[~words.unknown]
        return known.mean(axis=0) if len(known) else np.zeros(self.dim, np.float32)

    def _find(self, vocabulary: set[str]) -> Vectors:
        if missing := self.missing():
            raise UserError(missing[0])
        # Bytes, and only the first word of most lines: the official file has two million lines of 300 numbers.
        wanted = {word.encode(): word for word in vocabulary}
        vectors: Vectors = {}
        with (
            self.path.open("rb") as lines,
            Progress(None, self.path.name, "B", self.path.stat().st_size) as progress,
        ):
            for number, line in enumerate(lines, start=1):
                progress.update(len(line))
                if line.partition(b" ")[0] not in wanted:
                    continue
                # A few words of the official files have spaces in them, so the numbers are counted from the right.
                word, *values = line.rstrip().rsplit(b" ", self.dim)
                if word in wanted:
                    vectors[wanted[word]] = self._parse(values, number)
        self._report(vocabulary, vectors)
        return vectors

    def _parse(self, values: list[bytes], number: int) -> NDArray[np.float32]:
        try:
            vector = np.array([float(value) for value in values], np.float32)
        except ValueError as error:
            raise UserError(f"{self.path}, line {number}: not a word and {self.dim} numbers") from error
        if len(vector) != self.dim or not np.isfinite(vector).all():
            raise UserError(f"{self.path}, line {number}: not a word and {self.dim} numbers (text.dim)")
        return vector

    def _report(self, vocabulary: set[str], vectors: Vectors) -> None:
        count = f"{len(vectors):,} of {len(vocabulary):,} words in use have a vector"
        if not vectors:
            raise UserError(
                f"{self.path}: none of the {len(vocabulary)} words in use has a vector of {self.dim} numbers (text.dim)"
            )
        _log.info("%s: %s", self.path.name, count)
