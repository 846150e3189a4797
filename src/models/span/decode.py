"""From start and end probabilities to ranked spans."""

from __future__ import annotations

import torch
from torch import Tensor

from src.moments import iou


def best_spans(start: Tensor, end: Tensor, top: int, most_overlap: float) -> tuple[Tensor, Tensor]:
    """The spans s <= e with the highest p_s · p_e, best first, none overlapping a better one too much.

    Args:
        start, end: (B, L) log-probabilities, −inf at padding; at least one valid snippet in each row.
        top: how many, K.
        most_overlap: spans with a higher IoU to one already taken are passed over (non-maximum suppression).

    Returns:
        spans (B, K, 2) inclusive, and their log-probabilities (B, K), −inf where there were not enough.
    """
    length = start.shape[1]
    position = torch.arange(length, device=start.device)
    legal = torch.ones(length, length, dtype=torch.bool, device=start.device).triu()
    scores = (start[:, :, None] + end[:, None, :]).masked_fill(~legal, -torch.inf)
    every = torch.stack(torch.broadcast_tensors(position[:, None], position[None, :] + 1), dim=-1).float()
    spans, values = [], []
    for _ in range(top):
        value, index = scores.flatten(1).max(dim=1)
        span = torch.stack((index // length, index % length), dim=-1)
        spans.append(span)
        values.append(value)
        taken = torch.stack((span[:, 0], span[:, 1] + 1), dim=-1).float()
        overlap = iou(every, taken[:, None, None])
        scores = scores.masked_fill(overlap > most_overlap, -torch.inf)
        scores[torch.arange(len(scores)), span[:, 0], span[:, 1]] = -torch.inf
    return torch.stack(spans, dim=1), torch.stack(values, dim=1)
