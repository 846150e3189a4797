"""The losses of Moment-DETR and QD-DETR, unweighted. B queries, N moment queries, L clips; masks True where valid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from src.models.detr.assignment import Matches, to_bounds
from src.moments import generalised_iou

LABEL_RANGE = range(1, 12)
"""Saliency labels are sums of three scores from 0 to 4; each step of 1…11 parts the clips into two."""


def span_losses(spans: Tensor, targets: Tensor, matches: Matches) -> tuple[Tensor, Tensor]:
    """L1 distance and 1 − generalised IoU, each averaged over the matched pairs.

    Args:
        spans: (B, N, 2) predicted (centre, width).
        targets: (B, W, 2) annotated (centre, width).
        matches: the pairs; of none, both are 0.
    """
    predicted = spans[matches.sample, matches.query]
    annotated = targets[matches.sample, matches.window]
    overlap = generalised_iou(to_bounds(predicted), to_bounds(annotated))
    pairs = max(len(matches.sample), 1)
    return (predicted - annotated).abs().sum() / (2 * pairs), (1 - overlap).sum() / pairs


def label_loss(logits: Tensor, matches: Matches, background: float) -> Tensor:
    """Cross-entropy of (B, N, 2) logits, index 0 for the matched; the rest weigh `background`. A plain mean."""
    label = torch.ones(logits.shape[:2], dtype=torch.long, device=logits.device)
    label[matches.sample, matches.query] = 0
    entropy = F.cross_entropy(logits.flatten(0, 1), label.flatten(), reduction="none")
    return torch.where(label.flatten() == 0, entropy, background * entropy).mean()


def focal_loss(logits: Tensor, matches: Matches) -> Tensor:
    """Sigmoid focal loss (Lin et al. 2017) of both of (B, N, 2) logits, index 0 for the matched; α = 0.25, γ = 2."""
    label = torch.zeros_like(logits)
    label[..., 1] = 1
    label[matches.sample, matches.query] = label.new_tensor([1.0, 0.0])
    entropy = F.binary_cross_entropy_with_logits(logits, label, reduction="none")
    weight = torch.where(label > 0, 0.25, 0.75)
    return (weight * (label - logits.sigmoid()) ** 2 * entropy).mean()


def margin_loss(saliency: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """2 · the mean of max(0, margin + negative − positive) over pairs of clips.

    Args:
        saliency: (B, L).
        positive, negative: (B, P) clip indices; a pair of one clip with itself compares nothing and counts 0.
    """
    difference = saliency.gather(1, negative) - saliency.gather(1, positive)
    return 2 * torch.where(positive == negative, 0.0, (margin + difference).clamp(min=0)).mean()


def ranking_loss(saliency: Tensor, labels: Tensor, mask: Tensor, temperature: float = 0.5) -> Tensor:
    """Rank-contrastive loss: the clips labelled at least r against all others, over r = 1…11, divided by 12.

    Args:
        saliency: (B, M) of a sample's clips, and of the same clips with another query's words.
        labels: (B, M), 0 for the latter.
        mask: (B, M).
    """
    scores = torch.where(mask, saliency, -1000.0) / temperature
    scores = scores - scores.amax(dim=1, keepdim=True).detach()
    log_probability = scores - (scores.exp().sum(dim=1, keepdim=True) + 1e-6).log()
    steps = torch.tensor(LABEL_RANGE, device=labels.device)[:, None, None]
    positive = ((labels >= steps) & mask).to(scores.dtype)
    mean = torch.einsum("rbm,bm->rb", positive, log_probability) / (positive.sum(dim=2) + 1e-6)
    # A sample without a positive adds 0 to the mean over the batch.
    return -mean.mean(dim=1).sum() / (len(LABEL_RANGE) + 1)


def negative_loss(saliency: Tensor, mask: Tensor) -> Tensor:
    """−log(1 − σ(saliency)) of clips (B, L) with another query's words, summed over clips, averaged over the batch."""
    return torch.where(mask, F.softplus(saliency), 0.0).sum(dim=1).mean()
