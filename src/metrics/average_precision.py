"""Mean average precision of ranked moments, as QVHighlights defines it (Lei et al., NeurIPS 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from src.metrics.overlap import overlaps


def moment_average_precision(windows: Tensor, truth: Tensor, least_ious: Tensor) -> Tensor:
    """Interpolated average precision of each query at each IoU.

    In order of rank, each window takes the free annotated window that it overlaps most, if that reaches the IoU.

    Args:
        windows: (B, K, 2), best first; NaN rows are no window.
        truth: (B, W, 2); NaN rows are no window; at least one a query.
        least_ious: (T,).

    Returns:
        (B, T), in [0, 1].
    """
    every = overlaps(windows, truth)[..., None].expand(-1, -1, -1, len(least_ious))
    taken = torch.zeros_like(every[:, 0], dtype=torch.bool)
    found = []
    for ious in every.unbind(dim=1):
        free = ious.masked_fill(taken | (ious < least_ious), -1.0)
        best = free.amax(dim=1)
        found.append(best >= 0)
        taken = taken | (free == best[:, None]) & found[-1][:, None]
    true = torch.stack(found, dim=1)
    rank = torch.arange(1, true.shape[1] + 1, device=true.device, dtype=torch.float64)
    precision = true.cumsum(dim=1) / rank[:, None]
    interpolated = precision.flip(1).cummax(dim=1).values.flip(1)
    count = (~truth.isnan().any(dim=-1)).sum(dim=1, keepdim=True)
    return (interpolated * true).sum(dim=1) / count


class MomentMeanAveragePrecision(Metric):
    """mAP over queries, in percent, averaged over `least_ious`. Updated like those of src.metrics.recall.

    Args:
        least_ious: IoU thresholds.
        top: windows of a query that count; 10 in QVHighlights.
    """

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, least_ious: Sequence[float], top: int = 10) -> None:
        super().__init__()
        self.least_ious = torch.tensor(least_ious, dtype=torch.float64)
        self.top = top
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, windows: Tensor, truth: Tensor, duration: Tensor) -> None:
        precision = moment_average_precision(windows[:, : self.top], truth, self.least_ious.to(windows.device))
        self.total += precision.mean(dim=1).sum()
        self.count += len(windows)

    def compute(self) -> Tensor:
        return 100 * self.total / self.count.clamp(min=1)
