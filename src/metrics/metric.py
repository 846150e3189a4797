"""The contract of a metric: answers and ground truth in, percents under their printed names out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from src.data.batch import GroundTruth
from src.moments import RankedMoments


class MomentMetric(Metric, ABC):
    """A torchmetrics metric of ranked moments: states are summed over processes, values are in percent.

    Attributes:
        of_parts: Whether it is also computed of the parts of a split, such as the queries with a novel noun.
    """

    full_state_update = False
    of_parts: ClassVar[bool] = True

    @abstractmethod
    def update(self, ranked: RankedMoments, truth: GroundTruth) -> None:
        """Add queries and their answers, in the same order."""

    @abstractmethod
    def compute(self) -> dict[str, Tensor]:
        """The values by printed name; one that no query counts in is left out."""


class MeanMetric(MomentMetric):
    """Means over queries, one for each of `names`. A query may count in some of them and not in others."""

    total: Tensor
    count: Tensor

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.names = names
        self.add_state("total", torch.zeros(len(names), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(len(names), dtype=torch.long), dist_reduce_fx="sum")

    @abstractmethod
    def values(self, ranked: RankedMoments, truth: GroundTruth) -> tuple[Tensor, Tensor | None]:
        """Values in [0, 1] (B, names), and which of them count, (B, names) bool; None for all."""

    def update(self, ranked: RankedMoments, truth: GroundTruth) -> None:
        values, counts = self.values(ranked, truth)
        if counts is None:
            counts = torch.ones_like(values, dtype=torch.bool)
        self.total += torch.where(counts, values.double(), 0.0).sum(dim=0)
        self.count += counts.sum(dim=0)

    def compute(self) -> dict[str, Tensor]:
        means = 100 * self.total / self.count.clamp(min=1)
        return {name: mean for name, mean, count in zip(self.names, means, self.count, strict=True) if count > 0}
