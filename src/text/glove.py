"""GloVe vectors (Pennington et al., EMNLP 2014) in the layout of the official files: `word v1 … vn` a line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from src.errors import UserError
from src.files import digest
from src.text.encoder import Texts, Words
from src.text.tokens import words as split

_log = logging.getLogger(__name__)

Vectors = dict[str, NDArray[np.float32]]


class Glove:
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

    def words(self, sentences: Texts) -> Iterator[Words]:
        """The words of each sentence: zeros, and flagged, where there is no vector."""
        vectors = self._vectors({word for sentence in sentences for word in split(sentence)})
        nothing = np.zeros(self.dim, np.float32)
        for sentence in sentences:
            tokens = split(sentence)
            features = np.stack([vectors.get(word, nothing) for word in tokens])
            yield Words(features, np.array([word not in vectors for word in tokens]))

    def sentences(self, texts: Texts) -> Iterator[NDArray[np.float32]]:
        """The mean of each text's known words (Sent of Eq. 3); zeros where none is known."""
        vectors = self._vectors({word for text in texts for word in split(text)})
        for text in tqdm(texts, desc="averaging word vectors", unit="text", delay=3):
            known = [vectors[word] for word in split(text) if word in vectors]
            yield np.mean(known, axis=0) if known else np.zeros(self.dim, np.float32)

    def _vectors(self, vocabulary: set[str]) -> Vectors:
        if missing := self.missing():
            raise UserError(missing[0])
        # Bytes, and only the first word of most lines: the official file has two million lines of 300 numbers.
        wanted = {word.encode(): word for word in vocabulary}
        vectors: Vectors = {}
        with (
            self.path.open("rb") as lines,
            tqdm(total=self.path.stat().st_size, unit="B", unit_scale=True, desc=self.path.name, delay=3) as progress,
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
