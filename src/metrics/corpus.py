"""Retrieval in a collection: the right video, and the right moment of it, among all moments of all videos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from src.data.batch import GroundTruth
from src.metrics.recall import hits
from src.moments import iou


class Placed(NamedTuple):
    """A moment in seconds, and of which video."""

    video: str
    start: float
    end: float


class CorpusRecall(Metric):
    """VR{n}, the share of queries with the annotated video among the first n videos; and R{n}@{m}, that with a moment
    of it with an IoU of at least m among the first n moments (Lei et al., TVR, ECCV 2020).

    Videos are ranked by their first moment. Of several annotated windows the best-matching one counts, and only the
    annotated video does, however well another fits.

    Args:
        tops: The n.
        least_ious: The m.
    """

    full_state_update = False
    found: Tensor
    queries: Tensor

    def __init__(self, tops: Sequence[int], least_ious: Sequence[float]) -> None:
        super().__init__()
        self.tops, self.least_ious = tops, least_ious
        self.names = [f"VR{n}" for n in tops] + [f"R{n}@{m}" for m in least_ious for n in tops]
        self.add_state("found", torch.zeros(len(self.names), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("queries", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, answers: Sequence[Sequence[Placed]], truth: GroundTruth) -> None:
        """Add queries.

        Args:
            answers: For each query its moments, best first.
            truth: Of the same queries, in the same order.
        """
        for answer, moment in zip(answers, truth.moments, strict=True):
            videos = dict.fromkeys(placed.video for placed in answer)
            right = [[video == moment.video] for video in videos]
            reached = [self._reached(placed, moment.video, moment.windows) for placed in answer]
            self.found += torch.tensor(
                [*_within(right, self.tops, 1), *_within(reached, self.tops, len(self.least_ious))]
            )
            self.queries += 1

    def compute(self) -> dict[str, Tensor]:
        """The values in percent, by name; none where there was no query."""
        if self.queries == 0:
            return {}
        return dict(zip(self.names, 100 * self.found.double() / self.queries, strict=True))

    def _reached(self, placed: Placed, video: str, windows: Sequence[tuple[float, float]]) -> list[bool]:
        """Whether a moment is of the video and reaches each of `least_ious`."""
        if placed.video != video:
            return [False] * len(self.least_ious)
        own = torch.tensor([placed.start, placed.end], dtype=torch.float64)
        best = iou(own, torch.tensor(windows, dtype=torch.float64)).max()
        reached: list[bool] = hits(best[None], self.least_ious, strict=False)[0].tolist()
        return reached


def _within(right: Sequence[Sequence[bool]], tops: Sequence[int], width: int) -> list[bool]:
    """For each column of `right`, whether one of its first n rows is, for each n."""
    return [any(row[column] for row in right[:n]) for column in range(width) for n in tops]
