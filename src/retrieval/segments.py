"""Search with a network that reads similarities alone, such as the one that comes with this project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from src.data.batch import Inputs
from src.retrieval.index import Candidate, Question, Vectors
from src.retrieval.ranker import Found, Source
from src.retrieval.retriever import Retriever
from src.retrieval.similarity import Similarity, sigmoid

MOMENT = ("video", "best", "share")
"""What the probability of a moment is made of, logarithms: of the probability of its window's video, of the IoU that
the network expects of the window's best moment, and of its own as a share of that."""

_LEAST = 1e-6


class Segments:
    """A `Ranker` that has a network score every segment of the best windows.

    Args:
        network: The name of a model that comes with this project, a run folder or a checkpoint, of predictor=segments.
        windows: Windows that the network looks at, the best of the collection.
        moments: Moments of a window, at most.
        moment: The weights of `MOMENT` in the log-odds that a moment is the one that is asked for, and a `bias`.
        device: Where the network runs.
        similarity: Says how probable a window's video is.
    """

    def __init__(
        self,
        network: str,
        windows: int,
        moments: int,
        moment: Mapping[str, float],
        device: str,
        similarity: Similarity,
    ) -> None:
        self.network, self.windows, self.moments, self.moment = network, windows, moments, moment
        self.device, self.similarity = device, similarity
        self._moment = np.array([moment["bias"], *(moment[name] for name in MOMENT)])

    @property
    def candidates(self) -> int:
        return self.windows

    @cached_property
    def retriever(self) -> Retriever:
        """The network, loaded when it is first asked: no code runs that its file chooses."""
        return Retriever.load(self.network, device=self.device)

    def __call__(self, question: Question, candidates: Sequence[Candidate], source: Source) -> list[Found]:
        return [
            Found(candidate.video, start, end, sigmoid(self._moment, numbers))
            for candidate, right, moments in zip(
                candidates,
                self.similarity.probabilities(candidates),
                self.expected(question, candidates),
                strict=True,
            )
            for (start, end, _), numbers in zip(
                moments, moment_numbers(right, [expected for *_, expected in moments]), strict=True
            )
        ]

    @torch.inference_mode()
    def expected(self, question: Question, candidates: Sequence[Candidate]) -> list[list[tuple[float, float, float]]]:
        """The best moments of each window: start and end in seconds, and the IoU that the network expects of it."""
        if not candidates:
            return []
        inputs = _inputs(question, candidates, self.retriever.parts.cfg.text.dim)
        ranked = self.retriever.network.rank(inputs.to(self.retriever.device), self.moments)
        found = []
        for row, candidate in enumerate(candidates):
            count = int(ranked.counts[row])
            # A snippet is a narrative, of one second as the network counts.
            edges = ranked.windows[row, :count].round().long().tolist()
            spans = [(candidate.spans[first, 0], candidate.spans[max(end, first + 1) - 1, 1]) for first, end in edges]
            scores = ranked.scores[row, :count].tolist()
            found.append([(float(start), float(end), score) for (start, end), score in zip(spans, scores, strict=True)])
        return found


def moment_numbers(right: float, expected: Sequence[float]) -> NDArray[np.float64]:
    """The numbers of `MOMENT` (n, 3) of the n moments of a window.

    Args:
        right: The probability that the window's video is the right one.
        expected: The IoU that is expected of each.
    """
    ious = np.maximum(expected, _LEAST)
    best = ious.max(initial=_LEAST)
    numbers = np.stack(np.broadcast_arrays(max(right, _LEAST), best, ious / best), axis=1)
    return np.log(numbers)


def _inputs(question: Question, candidates: Sequence[Candidate], dim: int) -> Inputs:
    """Windows as the network reads them, with the sentence's vector as its only word."""
    narratives: list[Tensor] = []
    queries: list[Tensor] = []
    rewordings: list[Tensor] = []
    said = question.vector[None] if question.rewordings is None else np.vstack((question.vector, question.rewordings))
    for candidate in candidates:
        rows = torch.from_numpy(at_size(np.vstack((said, candidate.vectors)), dim))
        query, reworded, narrative = rows.split((1, len(said) - 1, len(candidate.vectors)))
        queries.append(query)
        rewordings.append(reworded)
        narratives.append(narrative)
    lengths = torch.tensor([len(each) for each in narratives])
    one = torch.ones(len(narratives), 1, dtype=torch.bool)
    in_other_words = torch.stack(rewordings) if len(said) > 1 else None
    return Inputs(
        video=None,
        narrative=pad_sequence(narratives, batch_first=True),
        snippet_mask=torch.arange(int(lengths.max())) < lengths[:, None],
        query=torch.stack(queries),
        query_mask=one,
        unknown=~one,
        sentences=[question.sentence] * len(narratives),
        duration=lengths.float(),
        rewordings=in_other_words,
        reworded=None if in_other_words is None else torch.ones(in_other_words.shape[:2], dtype=torch.bool),
    )


def at_size(vectors: Vectors, size: int) -> Vectors:
    """Few vectors (n, dim) of an encoder as vectors (n, size) with the same lengths and cosines; n at most `size`.

    A network that reads similarities alone so takes those of any encoder.
    """
    if vectors.shape[1] > size:
        # Their coordinates in a basis of their own span.
        spanned: Vectors = np.asarray(np.linalg.qr(vectors.T, mode="r"))
        vectors = spanned.T
    found: Vectors = np.pad(vectors, ((0, 0), (0, size - vectors.shape[1]))).astype(np.float32)
    return found
