"""The geometry of time: seconds and snippets, overlap, pooling, narratives onto snippets (Eq. 3), and ranked moments.

A video of T seconds and L snippets: snippet i covers [i/L·T, (i+1)/L·T). Pure functions on tensors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Pooling = Literal["max", "mean"]


@dataclass
class RankedMoments:
    """An answer to each query of a batch: its candidate moments, best first. B queries, at most K moments, L snippets.

    Attributes:
        windows: (B, K, 2) seconds, 0 <= start <= end <= duration.
        scores: (B, K) descending; comparable within a query only.
        counts: (B,) how many of the K a query has, at least one. The rows after them are zero, their scores −inf;
            nothing is ever NaN.
        saliency: (B, L) a score for each snippet, where the predictor has one; zero in padding.
        lengths: (B,) how many of the L snippets are the query's video's.
    """

    windows: Tensor
    scores: Tensor
    counts: Tensor
    saliency: Tensor | None
    lengths: Tensor

    @classmethod
    def of(cls, windows: Tensor, scores: Tensor, lengths: Tensor, saliency: Tensor | None = None) -> RankedMoments:
        """Of rows in which a score of −inf, after all others, says that there is no moment."""
        there = scores > -torch.inf
        if saliency is not None:
            valid = torch.arange(saliency.shape[1], device=saliency.device) < lengths[:, None]
            saliency = saliency.masked_fill(~valid, 0.0)
        return cls(windows.masked_fill(~there[..., None], 0.0), scores, there.sum(dim=1), saliency, lengths)

    def of_queries(self, members: Tensor) -> RankedMoments:
        """The answers of the queries that `members` (B,) bool says."""
        saliency = None if self.saliency is None else self.saliency[members]
        return RankedMoments(
            self.windows[members], self.scores[members], self.counts[members], saliency, self.lengths[members]
        )

    @property
    def present(self) -> Tensor:
        """(B, K) bool, True where there is a moment."""
        return torch.arange(self.windows.shape[1], device=self.windows.device) < self.counts[:, None]


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Temporal intersection over union of (start, end) pairs.

    >>> iou(torch.tensor([[0.0, 4.0], [4.0, 6.0]]), torch.tensor([2.0, 6.0]))
    tensor([0.3333, 0.5000])

    Args:
        first: (..., 2), start <= end.
        second: (..., 2), broadcast against `first`.

    Returns:
        (...), in [0, 1]; 0 where both intervals have no length.
    """
    overlap = torch.minimum(first[..., 1], second[..., 1]) - torch.maximum(first[..., 0], second[..., 0])
    overlap = overlap.clamp(min=0)
    union = (first[..., 1] - first[..., 0]) + (second[..., 1] - second[..., 0]) - overlap
    return overlap / torch.where(union > 0, union, 1.0)


def generalised_iou(first: Tensor, second: Tensor) -> Tensor:
    """Generalised IoU of (start, end) pairs: IoU less the share of the hull that neither covers.

    Args:
        first: (..., 2), start <= end.
        second: (..., 2), broadcast against `first`.

    Returns:
        (...), in [-1, 1]; finite where an interval has no length.
    """
    hull = torch.maximum(first[..., 1], second[..., 1]) - torch.minimum(first[..., 0], second[..., 0])
    lengths = (first[..., 1] - first[..., 0]) + (second[..., 1] - second[..., 0])
    # Where they overlap their hull is their union, which leaves overlap / hull; elsewhere their lengths are the union.
    return (lengths - hull) / hull.clamp(min=torch.finfo(hull.dtype).tiny)


def snippets_to_seconds(snippets: Tensor, length: Tensor | int, duration: Tensor | float) -> Tensor:
    """Inclusive (first, last) snippet indices (..., 2) to (start, end) seconds (..., 2), none past the video's end.

    `length` and `duration` are scalars, or tensors that broadcast against (...).
    """
    seconds = torch.as_tensor(duration, dtype=torch.get_default_dtype(), device=snippets.device)
    edges = torch.stack((snippets[..., 0] * (seconds / length), (snippets[..., 1] + 1) * (seconds / length)), dim=-1)
    # The last edge is the duration but for rounding.
    return edges.minimum(seconds[..., None])


def seconds_to_snippets(window: tuple[float, float], length: int, duration: float) -> tuple[int, int]:
    """The inclusive (first, last) snippets whose seconds overlap `window` most; the first in row order on a tie.

    >>> seconds_to_snippets((2.2, 5.9), length=10, duration=20.0)  # snippets of two seconds
    (1, 2)

    Args:
        window: (start, end) in seconds, 0 <= start < end <= duration.
        length: number of snippets, >= 1.
        duration: The video's length in seconds, > 0.
    """
    start, end = (min(max(second * length / duration, 0.0), float(length)) for second in window)
    # An edge further out than the snippet that holds it only adds to the union, one further in only takes from the
    # overlap: the best edges are those on either side of the window's own.
    firsts = sorted({min(math.floor(start), length - 1), min(math.ceil(start), length - 1)})
    lasts = sorted({max(math.floor(end) - 1, 0), max(math.ceil(end) - 1, 0)})
    best, most = (firsts[0], max(lasts[-1], firsts[0])), -1.0
    for first in firsts:
        for last in lasts:
            overlap = min(end, last + 1) - max(start, first)
            union = max(end, last + 1) - min(start, first)
            if last >= first and overlap / union > most:
                best, most = (first, last), overlap / union
    return best


def pool(features: Tensor, limit: int, how: Pooling) -> Tensor:
    """Pool a sequence (n, dim) to (min(n, limit), dim): equal bins in time, each the max or mean of its snippets."""
    count = features.shape[0]
    if count <= limit:
        return features
    edges = (torch.arange(limit + 1, dtype=torch.float64) * count / limit).round().long()
    pooled: Tensor = torch.segment_reduce(features, how, lengths=edges.diff(), axis=0)
    return pooled


def align_narratives(
    times: Tensor, vectors: Tensor, length: int, duration: float, fill: Literal["nearest", "zero"] = "nearest"
) -> Tensor:
    """Narrative features on the video's snippets (Eq. 3): the mean of the narratives whose time falls in each.

    Args:
        times: (n,) seconds, ascending, n >= 1. A time at or past the end belongs to the last snippet.
        vectors: (n, dim), one sentence feature for each time.
        length: number of snippets, >= 1.
        duration: The video's length in seconds, > 0.
        fill: what a snippet without a narrative takes: the narrative nearest to its middle, or zeros.

    Returns:
        (length, dim).
    """
    snippet = (times.double() * length / duration).long().clamp(0, length - 1)
    total = vectors.new_zeros(length, vectors.shape[1]).index_add_(0, snippet, vectors)
    count = torch.bincount(snippet, minlength=length)
    aligned = total / count.clamp(min=1).unsqueeze(1)
    empty = (count == 0).nonzero().squeeze(1)
    if fill == "nearest" and len(empty):
        middles = (empty + 0.5) * (duration / length)
        nearest = (times[None, :] - middles[:, None]).abs().argmin(dim=1)
        aligned[empty] = vectors[nearest]
    return aligned
