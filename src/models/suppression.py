"""Non-maximum suppression of ranked windows, for a batch at once."""

from __future__ import annotations

import torch
from torch import Tensor

from src.moments import iou


def best_windows(windows: Tensor, scores: Tensor, top: int, most_overlap: float) -> tuple[Tensor, Tensor]:
    """The best windows, best first, none overlapping a better one too much.

    Args:
        windows: (B, N, 2) start and end.
        scores: (B, N), −inf where there is no window; at least one in each row.
        top: How many, K.
        most_overlap: Windows with a higher IoU to one already taken are passed over.

    Returns:
        Their indices and scores, (B, K) each; a score is −inf where there were not enough.
    """
    indices, values = [], []
    for _ in range(top):
        value, index = scores.max(dim=1, keepdim=True)
        indices.append(index)
        values.append(value)
        overlap = iou(windows, windows.gather(1, index[..., None].expand(-1, -1, 2)))
        scores = scores.masked_fill(overlap > most_overlap, -torch.inf).scatter(1, index, -torch.inf)
    return torch.cat(indices, dim=1), torch.cat(values, dim=1)
