"""From probabilities of segments to ranked ones."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from src.models.proposals.segments import Segments
from src.moments import iou

Choice = Literal["probability", "expected_iou"]
"""What segments are ranked by: how probable each is, or the IoU to be expected of answering with it."""

Joint = Literal["product", "sum"]
"""What the probability of a segment is made of, of those of its start and its end."""

SUPPORT = 300
"""The most probable segments of a video, over which IoU is expected: beyond them hardly anything is left."""

_TOGETHER = 512
"""Segments that are compared with these at a time, which a cache holds: faster than all of a long video's."""


def best_segments(
    scores: Tensor, segments: Segments, top: int, most_overlap: float, choice: Choice
) -> tuple[Tensor, Tensor]:
    """The best segments, best first, none overlapping a better one too much.

    Args:
        scores: (B, P) log-probabilities, −inf where invalid; at least one valid in each row.
        segments: Whose scores they are.
        top: How many, K.
        most_overlap: Segments with a higher IoU to one already taken are passed over (non-maximum suppression).
        choice: What they are ranked by.

    Returns:
        spans (B, K, 2) inclusive, and what they were ranked by (B, K), −inf where there were not enough.
    """
    edges = _half_open(segments)
    if choice == "expected_iou":
        scores = expected_iou(scores, edges)
    index, values = best_windows(scores, edges.expand(len(scores), -1, -1), top, most_overlap)
    return segments.span[index], values


def best_windows(scores: Tensor, windows: Tensor, top: int, most_overlap: float) -> tuple[Tensor, Tensor]:
    """The best windows, best first, none overlapping a better one too much.

    Args:
        scores: (B, P), −inf where invalid; at least one valid in each row.
        windows: (B, P, 2) start and end.
        top: How many, K.
        most_overlap: Windows with a higher IoU to one already taken are passed over (non-maximum suppression).

    Returns:
        Which they are (B, K), and their scores (B, K), −inf where there were not enough.
    """
    found, values = [], []
    for _ in range(top):
        value, index = scores.max(dim=1, keepdim=True)
        found.append(index)
        values.append(value)
        overlap = iou(windows, windows.gather(1, index[..., None].expand(-1, -1, 2)))
        scores = scores.masked_fill(overlap > most_overlap, -torch.inf).scatter(1, index, -torch.inf)
    return torch.cat(found, dim=1), torch.cat(values, dim=1)


def best_spans(
    start: Tensor,
    end: Tensor,
    top: int,
    most_overlap: float,
    choice: Choice = "probability",
    joint: Joint = "product",
) -> tuple[Tensor, Tensor]:
    """As `best_segments`, where a segment s <= e is as probable as p_s · p_e, or as p_s + p_e for a `joint` sum: start,
    end (B, L) log-probabilities, −inf at padding."""
    segments = Segments.of((start > -torch.inf) | (end > -torch.inf))
    first, last = start[:, segments.first], end[:, segments.last]
    scores = first + last if joint == "product" else torch.logaddexp(first, last)
    # A start without an end in the video is no segment.
    scores = scores.masked_fill(~segments.mask, -torch.inf)
    return best_segments(scores, segments, top, most_overlap, choice)


def expected_iou(scores: Tensor, edges: Tensor) -> Tensor:
    """The IoU that each segment has on average with one drawn by its probability.

    Args:
        scores: (B, P) log-probabilities up to a constant, −inf where invalid.
        edges: (P, 2) of the segments, half-open.

    Returns:
        (B, P) in [0, 1], −inf where invalid.
    """
    likely, index = scores.topk(min(SUPPORT, scores.shape[1]), dim=1)
    weights = likely.softmax(dim=1)
    # A video at a time, as all pairs of a batch are more than a machine may hold.
    parts = edges.split(_TOGETHER)
    expected = [
        torch.cat([_pairs(part, edges[some]) @ weight for part in parts])
        for some, weight in zip(index, weights, strict=True)
    ]
    return torch.stack(expected).masked_fill(scores == -torch.inf, -torch.inf)


def _pairs(one: Tensor, other: Tensor) -> Tensor:
    """The IoU (P, Q) of all pairs of segments (P, 2) and (Q, 2), half-open, none of them empty.

    As `iou` has it, but in place and from edges side by side in memory: four times faster, and most of a search.
    """
    (start, end), (from_, to) = one.T.contiguous(), other.T.contiguous()
    shared = torch.minimum(end[:, None], to).sub_(torch.maximum(start[:, None], from_)).clamp_(min=0)
    return shared / ((end - start)[:, None] + (to - from_)).sub_(shared)


def _half_open(segments: Segments) -> Tensor:
    return torch.stack((segments.first, segments.last + 1), dim=-1).float()
