"""Search with a network that reads similarities alone, such as the one that comes with this project."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from src.data.batch import Inputs
from src.retrieval.index import Candidate, Question, Vectors
from src.retrieval.ranker import Found, Source
from src.retrieval.retriever import Retriever
from src.retrieval.similarity import Similarity


class Segments:
    """A `Ranker` that has a network score every segment of the best windows.

    A moment's probability is that of its window's video, by the similarity of the narratives, times the IoU that the
    network expects of the moment to the power of `weight`.

    Args:
        network: The name of a model that comes with this project, a run folder or a checkpoint, of predictor=segments.
        windows: Windows that the network looks at, the best of the collection.
        moments: Moments of a window, at most.
        weight: How much the expected IoU weighs.
        device: Where the network runs.
        similarity: Says how probable a window's video is.
    """

    def __init__(
        self, network: str, windows: int, moments: int, weight: float, device: str, similarity: Similarity
    ) -> None:
        self.network, self.windows, self.moments, self.weight = network, windows, moments, weight
        self.device, self.similarity = device, similarity

    @property
    def candidates(self) -> int:
        return self.windows

    @cached_property
    def retriever(self) -> Retriever:
        """The network, loaded when it is first asked: no code runs that its file chooses."""
        return Retriever.load(self.network, device=self.device)

    @torch.inference_mode()
    def __call__(self, question: Question, candidates: Sequence[Candidate], source: Source) -> list[Found]:
        if not candidates:
            return []
        inputs = _inputs(question, candidates, self.retriever.parts.cfg.text.dim)
        ranked = self.retriever.network.rank(inputs.to(self.retriever.device), self.moments)
        found = []
        for row, (candidate, right) in enumerate(
            zip(candidates, self.similarity.probabilities(candidates), strict=True)
        ):
            count = int(ranked.counts[row])
            # A snippet is a narrative, of one second as the network counts.
            edges = ranked.windows[row, :count].round().long().tolist()
            for (first, end), score in zip(edges, ranked.scores[row, :count].tolist(), strict=True):
                start, last = candidate.spans[first, 0], candidate.spans[max(end, first + 1) - 1, 1]
                found.append(Found(candidate.video, float(start), float(last), right * max(score, 0.0) ** self.weight))
        return found


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
