"""Recall and overlap of ranked moments. With several annotated windows a query, the best-matching one counts.

Every metric is updated with windows (B, K, 2), best first, truth (B, W, 2), both in seconds with NaN rows for no
window, and duration (B,) in seconds; its value is in percent.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from src.metrics.overlap import overlaps


def hits(windows: Tensor, truth: Tensor, top: int, least_iou: float, strict: bool = False) -> Tensor:
    """Whether one of the `top` windows reaches the IoU: (B,) bool. `strict` asks for more than `least_iou`.

    >>> windows, truth = torch.tensor([[[0.0, 4.0], [2.0, 6.0]]]), torch.tensor([[[2.0, 6.0]]])
    >>> hits(windows, truth, top=1, least_iou=0.5), hits(windows, truth, top=2, least_iou=0.5)
    (tensor([False]), tensor([True]))
    """
    best = overlaps(windows[:, :top], truth).amax(dim=(1, 2))
    return best > least_iou if strict else best >= least_iou


class _Mean(Metric):
    """A mean over queries, in percent."""

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def add(self, values: Tensor) -> None:
        self.total += values.double().sum()
        self.count += len(values)

    def compute(self) -> Tensor:
        return 100 * self.total / self.count.clamp(min=1)


class RecallAtIoU(_Mean):
    """R@n, IoU=m: the share of queries of which one of the first n moments has an IoU of at least m.

    Args:
        top: n.
        least_iou: m.
        strict: ask for more than m, as some published code does.
    """

    def __init__(self, top: int, least_iou: float, strict: bool = False) -> None:
        super().__init__()
        self.top = top
        self.least_iou = least_iou
        self.strict = strict

    def update(self, windows: Tensor, truth: Tensor, duration: Tensor) -> None:
        self.add(hits(windows, truth, self.top, self.least_iou, self.strict))


class MeanIoU(_Mean):
    """mIoU: the mean IoU of the first moment."""

    def update(self, windows: Tensor, truth: Tensor, duration: Tensor) -> None:
        self.add(overlaps(windows[:, :1], truth).amax(dim=(1, 2)).clamp(min=0))


class DiscountedRecall(_Mean):
    """dR@1, IoU=m (Yuan et al. 2021): a hit counts (1 − |Δstart| / T)(1 − |Δend| / T), T the video's duration.

    Args:
        least_iou: m.
        strict: see `RecallAtIoU`.
    """

    def __init__(self, least_iou: float, strict: bool = False) -> None:
        super().__init__()
        self.least_iou = least_iou
        self.strict = strict

    def update(self, windows: Tensor, truth: Tensor, duration: Tensor) -> None:
        first = windows[:, :1]
        best = overlaps(first, truth).squeeze(1).argmax(dim=1)
        matched = truth.gather(1, best[:, None, None].expand(-1, 1, 2)).squeeze(1)
        distance = (first.squeeze(1).double() - matched.double()).abs() / duration.double()[:, None]
        discount = (1 - distance.clamp(max=1)).prod(dim=1)
        hit = hits(windows, truth, 1, self.least_iou, self.strict)
        self.add(torch.where(hit, discount, 0.0))
