"""How ranked windows overlap the annotated ones."""

from __future__ import annotations

import torch
from torch import Tensor

from src.moments import iou


def overlaps(windows: Tensor, truth: Tensor) -> Tensor:
    """IoU of every predicted with every annotated window, computed in double precision.

    Args:
        windows: (B, K, 2) seconds; NaN rows are no window.
        truth: (B, W, 2) seconds; NaN rows are no window.

    Returns:
        (B, K, W); -1 where either is no window.
    """
    every = iou(windows.double()[:, :, None], truth.double()[:, None])
    absent = windows.isnan().any(dim=-1)[:, :, None] | truth.isnan().any(dim=-1)[:, None]
    return torch.where(absent, -1.0, every)
