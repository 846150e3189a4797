"""Mean average precision of ranked moments, as QVHighlights defines it (Lei et al., NeurIPS 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from src.data.batch import GroundTruth
from src.metrics.metric import MeanMetric
from src.metrics.overlap import TIE, overlaps
from src.moments import RankedMoments

STEPS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
"""0.5:0.05:0.95, over which mAP is averaged."""


def moment_average_precision(every: Tensor, least_ious: Tensor) -> Tensor:
    """Interpolated average precision of each query at each IoU.

    In order of rank, each moment takes the free annotated window that it overlaps most, if that reaches the IoU.

    Args:
        every: (B, K, W) IoU of every moment, best first, with every annotated window; -1 where either is none. A query
            has at least one annotated window, or its result means nothing.
        least_ious: (T,).

    Returns:
        (B, T), in [0, 1].
    """
    count = (every >= 0).any(dim=1).sum(dim=1, keepdim=True).clamp(min=1)
    every = every[..., None].expand(-1, -1, -1, len(least_ious))
    taken = torch.zeros_like(every[:, 0], dtype=torch.bool)
    found = []
    for ious in every.unbind(dim=1):
        free = ious.masked_fill(taken | (ious < least_ious - TIE), -1.0)
        best = free.amax(dim=1)
        found.append(best >= 0)
        taken = taken | (free == best[:, None]) & found[-1][:, None]
    true = torch.stack(found, dim=1)
    rank = torch.arange(1, true.shape[1] + 1, device=true.device, dtype=torch.float64)
    precision = true.cumsum(dim=1) / rank[:, None]
    interpolated = precision.flip(1).cummax(dim=1).values.flip(1)
    return (interpolated * true).sum(dim=1) / count


class MomentAveragePrecision(MeanMetric):
    """mAP over 0.5:0.05:0.95, mAP@{m} at single IoUs, and mAP-{name} of the annotated windows of some length.

    Args:
        least_ious: The m.
        lengths: For each name the (low, high] seconds of the windows that count; None as `high` is no bound. A query
            without such a window does not count; what is predicted for it is not filtered.
        top: Moments of a query that count.
    """

    def __init__(
        self, least_ious: Sequence[float], lengths: Mapping[str, tuple[float, float | None]], top: int
    ) -> None:
        super().__init__(["mAP", *(f"mAP@{m}" for m in least_ious), *(f"mAP-{name}" for name in lengths)])
        self.least_ious = torch.tensor([*STEPS, *least_ious], dtype=torch.float64)
        self.lengths = list(lengths.values())
        self.top = top

    def values(self, ranked: RankedMoments, truth: GroundTruth) -> tuple[Tensor, Tensor]:
        every = overlaps(ranked, truth, self.top)
        # By the annotated windows, of which some may have no length.
        length = truth.windows.double().diff(dim=-1).squeeze(-1)
        there = ~length.isnan()
        precision = moment_average_precision(every, self.least_ious.to(every.device))
        steps = len(STEPS)
        values = [precision[:, :steps].mean(dim=1), *precision[:, steps:].unbind(dim=1)]
        counts = [torch.ones_like(there[:, 0])] * len(values)
        for low, high in self.lengths:
            within = there & (length > low) & (length <= (high if high is not None else torch.inf))
            some = every.masked_fill(~within[:, None], -1.0)
            at_steps = moment_average_precision(some, self.least_ious[:steps].to(every.device))
            values.append(at_steps.mean(dim=1))
            counts.append(within.any(dim=1))
        return torch.stack(values, dim=1), torch.stack(counts, dim=1)
