"""The contract of an index: narratives of videos with their vectors, added to, and asked which videos may be meant."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from src.retrieval.windows import windows

Vectors = NDArray[np.float32]

# Of reciprocal ranks: how little the first few differ.
_FUSED = 10
BEST = 5
"""The narratives whose cosines say how well a window matches: the highest so many."""


class Entry(NamedTuple):
    """The narratives of a video as an index takes them. n of them.

    Attributes:
        video: The video's id.
        digest: Of its narratives: another where any of them is.
        times: (n,) seconds, ascending.
        texts: n narratives.
        vectors: (n, dim), of length one.
    """

    video: str
    digest: str
    times: NDArray[np.float64]
    texts: Sequence[str]
    vectors: Vectors


class Question(NamedTuple):
    """A sentence and its vector (dim,), of length one; the vectors (R, dim) of its rewordings, where it has any."""

    sentence: str
    vector: Vectors
    rewordings: Vectors | None = None

    @property
    def sought(self) -> Vectors:
        """(dim,) whose product with a narrative is the mean of its cosines with the sentence and each rewording."""
        if self.rewordings is None:
            return self.vector
        mean: Vectors = np.vstack((self.vector, self.rewordings)).mean(axis=0)
        return mean


class Candidate(NamedTuple):
    """A window of a video in which the answer may be.

    Attributes:
        video: The video's id.
        spans: (n, 2) the seconds that each narrative of the window stands for.
        cosines: (n,) of the window's narratives with the sentence, or in the mean with it and its rewordings.
        words: How well the words of all the video's narratives match, BM25 as a share of the most possible.
        vectors: (n, dim) of the window's narratives, mapped or in memory.
    """

    video: str
    spans: NDArray[np.float64]
    cosines: NDArray[np.float32]
    words: float
    vectors: Vectors


class Told(NamedTuple):
    """The narratives of a video: (n,) seconds, n texts and (n, dim) vectors."""

    times: NDArray[np.float64]
    texts: Sequence[str]
    vectors: Vectors


class Index(Protocol):
    """Narratives of a collection of videos. Readers see a video whole or not at all; writers wait for one another."""

    def digests(self) -> Mapping[str, str]:
        """Each video with the digest of its narratives, as of now."""
        ...

    def add(self, entries: Iterable[Entry]) -> None:
        """Take in videos, in the place of those of the same id. Once this returns, they outlive whatever happens.

        Raises:
            UserError: The disk is full, or the place cannot be written to. What was there before still is.
        """
        ...

    def remove(self, videos: Collection[str]) -> None:
        """Forget videos, if they are there."""
        ...

    def candidates(self, questions: Sequence[Question], most: int, video: str | None = None) -> list[list[Candidate]]:
        """For each question the windows that match best, at most `most`, best first; `video`: of this one alone."""
        ...

    def told(self, video: str) -> Told | None:
        """The narratives of a video; None where it has been removed since."""
        ...


class Windows:
    """The windows of many videos whose narratives stand one after another, W windows of at most `LONGEST`.

    Attributes:
        video: (W,) which of the videos.
        first: (W,) the narrative within the video with which it begins.
        rows: (W, width) where its narratives stand; `absent` after the last of them.
    """

    def __init__(self, starts: Sequence[int], counts: Sequence[int], absent: int) -> None:
        cut = [(number, *each) for number, count in enumerate(counts) for each in windows(count)]
        self.video, self.first, ends = np.array(cut, np.int64).reshape(-1, 3).T
        length = ends - self.first
        place = np.arange(int(length.max(initial=0)))
        begin = np.asarray(starts, np.int64)[self.video] + self.first
        self.rows = np.where(place < length[:, None], begin[:, None] + place, absent).astype(np.int32)

    def best(self, cosines: NDArray[np.float32]) -> NDArray[np.float32]:
        """(W,) the mean of the highest `BEST` cosines of each window.

        Args:
            cosines: (rows,), −inf as the `absent` one.
        """
        inside = cosines[self.rows]
        if inside.shape[1] > BEST:
            inside = np.partition(inside, -BEST, axis=1)[:, -BEST:]
        there = np.isfinite(inside)
        best: NDArray[np.float32] = np.where(there, inside, 0).sum(axis=1) / there.sum(axis=1)
        return best


def fused(scores: Sequence[NDArray[np.floating]], most: int) -> NDArray[np.int64]:
    """The `most` best places by the sum of reciprocal ranks in each of `scores` (n,), best first.

    >>> fused([np.array([3.0, 1.0, 2.0]), np.array([2.0, 1.0, 3.0])], 2)
    array([0, 2])
    """
    total = np.zeros(len(scores[0]))
    for each in scores:
        # Places of one score share a rank: a video has several windows, and many have none of a sentence's words.
        _, place, counts = np.unique(-each, return_inverse=True, return_counts=True)
        total += 1 / (_FUSED + (np.cumsum(counts) - counts)[place])
    if most < len(total):
        best = np.argpartition(-total, most)[:most]
        return best[np.argsort(-total[best], kind="stable")]
    return np.argsort(-total, kind="stable")
