"""Recall and overlap of ranked moments. With several annotated windows a query, the best-matching one counts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from src.data.batch import GroundTruth
from src.metrics.metric import MeanMetric
from src.metrics.overlap import TIE, overlaps
from src.moments import RankedMoments


def hits(best: Tensor, least_ious: Sequence[float], strict: bool) -> Tensor:
    """Whether IoUs (B,) reach each of m: (B, len(least_ious)) bool. `strict` asks for more than m.

    An IoU within `TIE` of m is m: of windows in decimal seconds it may miss that by the rounding of their differences.

    >>> hits(torch.tensor([0.5, 0.6]), [0.5], strict=False).T, hits(torch.tensor([0.5, 0.6]), [0.5], strict=True).T
    (tensor([[True, True]]), tensor([[False,  True]]))
    """
    least = torch.tensor(list(least_ious), dtype=torch.float64, device=best.device)
    return best[:, None] > least + TIE if strict else best[:, None] >= least - TIE


class Recall(MeanMetric):
    """R{n}@{m}: the share of queries of which one of the first n moments has an IoU of at least m.

    Args:
        tops: The n.
        least_ious: The m.
        strict: Ask for more than m, as some published code does.
    """

    def __init__(self, tops: Sequence[int], least_ious: Sequence[float], strict: bool) -> None:
        super().__init__([f"R{top}@{m}" for top in tops for m in least_ious])
        self.tops, self.least_ious, self.strict = tops, least_ious, strict

    def values(self, ranked: RankedMoments, truth: GroundTruth) -> tuple[Tensor, None]:
        best = [overlaps(ranked, truth, top).amax(dim=(1, 2)) for top in self.tops]
        return torch.cat([hits(each, self.least_ious, self.strict) for each in best], dim=1).double(), None


class DiscountedRecall(MeanMetric):
    """dR1@{m} (Yuan et al. 2021): a hit counts (1 − |Δstart| / T)(1 − |Δend| / T), T the video's duration.

    Args:
        least_ious: The m.
        strict: See `Recall`.
    """

    def __init__(self, least_ious: Sequence[float], strict: bool) -> None:
        super().__init__([f"dR1@{m}" for m in least_ious])
        self.least_ious, self.strict = least_ious, strict

    def values(self, ranked: RankedMoments, truth: GroundTruth) -> tuple[Tensor, None]:
        every = overlaps(ranked, truth, top=1).squeeze(1)
        best = every.argmax(dim=1)
        matched = truth.windows.gather(1, best[:, None, None].expand(-1, 1, 2)).squeeze(1)
        distance = (ranked.windows[:, 0].double() - matched.double()).abs() / truth.duration.double()[:, None]
        discount = (1 - distance.clamp(max=1)).prod(dim=1)
        hit = hits(every.amax(dim=1), self.least_ious, self.strict)
        return torch.where(hit, discount[:, None], 0.0), None


class MeanIoU(MeanMetric):
    """mIoU: the mean IoU of the first moment."""

    def __init__(self) -> None:
        super().__init__(["mIoU"])

    def values(self, ranked: RankedMoments, truth: GroundTruth) -> tuple[Tensor, None]:
        return overlaps(ranked, truth, top=1).amax(dim=(1, 2)).clamp(min=0)[:, None], None
