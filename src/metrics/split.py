"""The metrics of one split, wherever its answers come from: validation, test, or a file of predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from src.data.batch import GroundTruth
from src.data.records import Moment
from src.metrics.metric import MomentMetric
from src.moments import RankedMoments


def rows_of(split: str, moment: Moment) -> list[str]:
    """The rows of a result that a query counts in: its split, and for each part of speech of its novel words one more.

    The latter are Table 7's: `novel_word:NOUN`. Kinds of novel compositions are in small letters, and have none.
    """
    kinds = sorted({kind for kind, _ in moment.novel if kind.isupper()})
    return [split, *(f"{split}:{kind}" for kind in kinds)]


class SplitMetrics(nn.Module):
    """The metrics of a split and of its parts, a row each. Every process computes the same rows.

    Args:
        split: The split's name.
        rows: The names of the rows, the split's own among them; none for a split without answers.
        make: Makes the metrics of one row, by any names: each says itself what its values are called.
    """

    def __init__(self, split: str, rows: Sequence[str], make: Callable[[], Mapping[str, MomentMetric]]) -> None:
        super().__init__()
        self.split = split
        self.rows = list(rows)
        self.metrics = nn.ModuleList(
            nn.ModuleList(metric for metric in make().values() if row == split or metric.of_parts) for row in rows
        )

    @classmethod
    def of(cls, split: str, moments: Sequence[Moment], make: Callable[[], Mapping[str, MomentMetric]]) -> SplitMetrics:
        """The metrics of a split whose parts are those that its `moments` are in; without moments it has no parts."""
        if moments and not any(moment.windows for moment in moments):
            return cls(split, [], make)
        rows = {split, *(row for moment in moments for row in rows_of(split, moment))}
        return cls(split, sorted(rows), make)

    def update(self, ranked: RankedMoments, truth: GroundTruth) -> None:
        """Add queries and their answers, in the same order."""
        rows = [rows_of(self.split, moment) for moment in truth.moments]
        for row, metrics in zip(self.rows, self.metrics, strict=True):
            members = torch.tensor([row in each for each in rows], device=ranked.windows.device)
            if row == self.split:
                answers, annotated = ranked, truth
            elif members.any():
                answers, annotated = ranked.of_queries(members), truth.of_queries(members)
            else:
                continue
            for metric in metrics:  # type: ignore[attr-defined]
                metric.update(answers, annotated)

    def compute(self) -> dict[str, Tensor]:
        """The values, named ROW/METRIC."""
        return {
            f"{row}/{name}": value
            for row, metrics in zip(self.rows, self.metrics, strict=True)
            for metric in metrics  # type: ignore[attr-defined]
            for name, value in metric.compute().items()
        }

    def reset(self) -> None:
        """Forget every query."""
        for metrics in self.metrics:
            for metric in metrics:  # type: ignore[attr-defined]
                metric.reset()
