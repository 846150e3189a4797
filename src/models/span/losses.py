"""The losses of the span network (Eqs. 15, 16, A.3, A.4) as pure functions.

Snippet spans are (first, last) inclusive unless said otherwise; B queries, L snippets, P proposals.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from src.moments import iou

HighlightEnd = Literal["paper", "published"]


def threshold(progress: float, first: float = 1.0, last: float = 0.5) -> float:
    """τ, the IoU a candidate must reach: falls from `first` to `last` over training, half-way at the middle.

    Args:
        progress: the share of training that is done, in [0, 1).
        first, last: in [0, 1].
    """
    return last + (first - last) * (1 - 1 / (1 + math.exp(-(progress - 0.5) / 0.05)))


def half_open(span: Tensor) -> Tensor:
    """Inclusive snippet spans (..., 2) to half-open ones (first, last + 1), as float."""
    return torch.stack((span[..., 0], span[..., 1] + 1), dim=-1).float()


def candidate(target: Tensor, span: Tensor, mask: Tensor, scores: Tensor, least_iou: float) -> Tensor:
    """The best-scored valid proposal that overlaps the target enough; the target itself where none does.

    Args:
        target: (B, 2).
        span: (B, P, 2), mask: (B, P), scores: (B, P) of the proposals.
        least_iou: τ.

    Returns:
        (B, 2) long, **half-open**: (a, b) with b one past the last snippet, as EMB was published.
    """
    overlap = iou(half_open(span), half_open(target)[:, None])
    eligible = mask & (overlap >= least_iou)
    best = scores.masked_fill(~eligible, -torch.inf).argmax(dim=1)
    chosen = half_open(span.gather(1, best[:, None, None].expand(-1, 1, 2)).squeeze(1))
    return torch.where(eligible.any(dim=1, keepdim=True), chosen, half_open(target)).long()


def localisation(start: Tensor, end: Tensor, target: Tensor, chosen: Tensor) -> Tensor:
    """L_vmr (Eqs. 15 and A.4): −log of the probability inside the candidate endpoint sets, mean over the batch.

    Args:
        start, end: (B, L) log-probabilities, −inf at padding.
        target: (B, 2); chosen: (B, 2), half-open, of `candidate`.
    """
    position = torch.arange(start.shape[1], device=start.device)
    loss = start.new_zeros(len(start))
    for scores, side in ((start, 0), (end, 1)):
        low = torch.minimum(target[:, side], chosen[:, side])[:, None]
        high = torch.maximum(target[:, side], chosen[:, side])[:, None]
        inside = (position >= low) & (position <= high)
        loss = loss - scores.masked_fill(~inside, -torch.inf).logsumexp(dim=1)
    return loss.mean()


def highlight_labels(target: Tensor, chosen: Tensor, mask: Tensor, extend: float, upper_end: HighlightEnd) -> Tensor:
    """y_h of Eq. 16: (B, L), 1 inside the candidate endpoints widened each way by `extend` of their length.

    Args:
        target: (B, 2); chosen: (B, 2), half-open, of `candidate`.
        mask: (B, L).
        extend: share of the span, rounded to whole snippets (halves to even).
        upper_end: the larger of the two ends (the paper's Eq. 16), or the smaller (EMB as published).
    """
    low = torch.minimum(target[:, 0], chosen[:, 0])
    high = (torch.maximum if upper_end == "paper" else torch.minimum)(target[:, 1], chosen[:, 1])
    margin = (extend * (high - low + 1).float()).round().long()
    position = torch.arange(mask.shape[1], device=mask.device)
    inside = (position >= (low - margin)[:, None]) & (position <= (high + margin)[:, None])
    return (inside & mask).float()


def highlight(logits: Tensor, labels: Tensor, mask: Tensor, positive: float = 2.0) -> Tensor:
    """L_h (Eq. 16): binary cross-entropy, positives weighted `positive`, averaged over the batch's valid snippets."""
    weight = (1 + (positive - 1) * labels) * mask
    return F.binary_cross_entropy_with_logits(logits, labels, weight, reduction="sum") / mask.sum()


def ranking(logits: Tensor, span: Tensor, mask: Tensor, target: Tensor, least: float, most: float) -> Tensor:
    """L_ax (Eq. A.3): binary cross-entropy against the IoU rescaled from [least, most] to [0, 1].

    Args:
        logits, mask: (B, P); averaged over the valid proposals of the batch.
        span: (B, P, 2) of the proposals.
        target: (B, 2).
    """
    labels = ((iou(half_open(span), half_open(target)[:, None]) - least) / (most - least)).clamp(0, 1)
    losses = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return (losses * mask).sum() / mask.sum()
