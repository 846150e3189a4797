"""How ranked moments overlap the annotated ones."""

from __future__ import annotations

import torch
from torch import Tensor

from src.data.batch import GroundTruth
from src.moments import RankedMoments, iou

TIE = 1e-9
"""IoUs this close are equal: far below what seconds are written with, far above what double precision rounds."""


def overlaps(ranked: RankedMoments, truth: GroundTruth, top: int | None = None) -> Tensor:
    """IoU of the first `top` moments (None: all) with every annotated window, computed in double precision.

    Returns:
        (B, K, W); -1 where either is none.
    """
    windows, present = ranked.windows[:, :top], ranked.present[:, :top]
    every = iou(windows.double()[:, :, None], truth.windows.double()[:, None])
    absent = ~present[:, :, None] | truth.windows.isnan().any(dim=-1)[:, None]
    return torch.where(absent, -1.0, every)
