"""Okapi BM25 (Robertson and Walker, SIGIR 1994) over documents of stemmed words: what sentence vectors blur, names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np
from nltk.stem.snowball import EnglishStemmer
from numpy.typing import NDArray
from scipy.sparse import csc_array

from src.text.tokens import words

# A video's narratives say the same again and again: k1 is twice the usual, so that repetition goes on to count.
_K1, _B = 3.0, 0.75
_stemmer = EnglishStemmer()


@lru_cache(maxsize=1 << 16)
def _stem(word: str) -> str:
    return _stemmer.stem(word)


def stems(texts: Iterable[str]) -> Counter[str]:
    """How often each word stands in texts, by its stem; punctuation is none."""
    return Counter(_stem(word) for text in texts for word in words(text) if any(map(str.isalnum, word)))


class Bm25:
    """Documents that can be asked for words.

    Args:
        rows: (n,) of each different word of each document, the document.
        terms: (n,) the number of the word.
        counts: (n,) how often it stands there.
        lengths: (documents,) the words of each document, those that cannot be asked for too.
        vocabulary: The number of each word.
    """

    def __init__(
        self,
        rows: NDArray[np.int32],
        terms: NDArray[np.int32],
        counts: NDArray[np.int32],
        lengths: NDArray[np.float64] | NDArray[np.int_],
        vocabulary: Mapping[str, int],
    ) -> None:
        self.vocabulary = vocabulary
        documents, width = len(lengths), max(vocabulary.values(), default=-1) + 1
        tf = csc_array((counts.astype(np.float32), (rows, terms)), shape=(documents, width))
        mean = lengths.mean() if documents else 1.0
        norm = _K1 * (1 - _B + _B * lengths / max(mean, 1.0))
        tf.data *= (_K1 + 1) / (tf.data + norm[tf.indices].astype(np.float32))
        holding = np.diff(tf.indptr)
        self._idf = np.log1p((documents - holding + 0.5) / (holding + 0.5))
        self._weights = tf
        self._documents = documents

    def __call__(self, sentence: str) -> NDArray[np.float64]:
        """(documents,) the score of each, as a share of the most that the sentence's words could give."""
        total = np.zeros(self._documents)
        most = 0.0
        unseen = float(np.log1p((self._documents + 0.5) / 0.5))
        for stem, count in stems([sentence]).items():
            term = self.vocabulary.get(stem)
            idf = unseen if term is None or term >= len(self._idf) else float(self._idf[term])
            most += count * idf * (_K1 + 1)
            if term is not None and term < len(self._idf):
                begin, end = self._weights.indptr[term : term + 2]
                total[self._weights.indices[begin:end]] += count * idf * self._weights.data[begin:end]
        return total / most if most else total


def asked(sentence: str, documents: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """How well documents match a sentence, as a `Bm25` of them all says.

    Args:
        sentence: What is asked for.
        documents: The stems of each.

    Returns:
        (documents,) the score of each, as a share of the most that the sentence's words could give.
    """
    wanted = {stem: number for number, stem in enumerate(stems([sentence]))}
    found = [
        (row, wanted[stem], count)
        for row, document in enumerate(documents)
        for stem, count in Counter(stem for stem in document if stem in wanted).items()
    ]
    rows, terms, counts = np.array(found, np.int32).reshape(-1, 3).T
    lengths = np.array([len(document) for document in documents])
    return Bm25(rows, terms, counts, lengths, wanted)(sentence)
