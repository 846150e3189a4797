"""Highlight detection on QVHighlights, as its authors score it (Lei et al., NeurIPS 2021, `standalone_eval`).

Each of three annotators gave every clip, of two seconds there, a score from 0 to 4 (0 where irrelevant). A clip is
positive at a least score of 2 (Fair), 3 (Good) or 4 (VeryGood); a method gives every clip a saliency.
"""

from __future__ import annotations

import torch
from torch import Tensor

from src.data.batch import GroundTruth
from src.data.records import Moment, clip_count
from src.metrics.metric import MomentMetric
from src.moments import RankedMoments

LEAST_SCORES = {"Fair": 2.0, "Good": 3.0, "VeryGood": 4.0}


def annotated_scores(moment: Moment) -> Tensor:
    """What the annotators gave each clip of the video: (clips, 3)."""
    scores = torch.zeros(clip_count(moment.duration, moment.clip_seconds), 3)
    scores[list(moment.relevant_clips)] = torch.tensor(moment.saliency)
    return scores


def on_clips(saliency: Tensor, moment: Moment) -> Tensor:
    """Saliency (n,) of n equal parts of a query's video, at the middle of each of the video's whole clips."""
    clips = clip_count(moment.duration, moment.clip_seconds)
    middle = (torch.arange(clips, dtype=torch.float64, device=saliency.device) + 0.5) * moment.clip_seconds
    return saliency[(middle * len(saliency) / moment.duration).long().clamp(max=len(saliency) - 1)]


def clip_average_precision(saliency: Tensor, positive: Tensor) -> Tensor:
    """Interpolated average precision of a ranking: the mean over the distinct saliencies at which recall rises.

    Args:
        saliency: (..., n).
        positive: (..., n) bool.

    Returns:
        (...), in [0, 1]; 0 where nothing is positive.
    """
    ranked, order = saliency.sort(dim=-1, descending=True, stable=True)
    found = positive.gather(-1, order).cumsum(dim=-1)
    last = torch.ones_like(ranked, dtype=torch.bool)  # of the clips that share a saliency
    last[..., :-1] = ranked[..., :-1] != ranked[..., 1:]
    rank = torch.arange(1, saliency.shape[-1] + 1, device=saliency.device)
    precision = torch.where(last, found / rank.double(), 0.0)
    precision = precision.flip(-1).cummax(dim=-1).values.flip(-1)
    # Recall rises at a saliency where more is found than at the one before it.
    so_far = torch.where(last, found, 0).cummax(dim=-1).values
    before = torch.cat((torch.zeros_like(so_far[..., :1]), so_far[..., :-1]), dim=-1)
    rises = last & (found > before)
    return (precision * rises).sum(dim=-1) / rises.sum(dim=-1).clamp(min=1)


class HighlightDetection(MomentMetric):
    """HL-min-LEVEL-mAP and HL-min-LEVEL-Hit1, in percent, for LEVEL in Fair, Good, VeryGood.

    mAP is the mean over queries and annotators; Hit1 the share of queries whose most salient clip an annotator rated at
    least so. Queries without annotated or predicted saliency do not count.
    """

    of_parts = False

    precision: Tensor
    hits: Tensor
    queries: Tensor

    def __init__(self) -> None:
        super().__init__()
        levels = len(LEAST_SCORES)
        self.add_state("precision", torch.zeros(levels, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("hits", torch.zeros(levels, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("queries", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, ranked: RankedMoments, truth: GroundTruth) -> None:
        saliency = ranked.saliency
        if saliency is None:
            return
        least = torch.tensor(list(LEAST_SCORES.values()), device=saliency.device)[:, None, None]
        for row, (moment, length) in enumerate(zip(truth.moments, ranked.lengths.tolist(), strict=True)):
            if not moment.saliency or not length:
                continue
            annotated = annotated_scores(moment).to(saliency.device)
            predicted = on_clips(saliency[row, :length], moment)
            positive = least <= annotated.T
            self.precision += clip_average_precision(predicted.expand_as(positive), positive).mean(dim=1)
            self.hits += positive[:, :, predicted.argmax()].any(dim=1)
            self.queries += 1

    def compute(self) -> dict[str, Tensor]:
        """The six values; empty where no query had annotated saliency."""
        if self.queries == 0:
            return {}
        precision, hits = 100 * self.precision / self.queries, 100 * self.hits / self.queries
        values = {}
        for index, level in enumerate(LEAST_SCORES):
            values[f"HL-min-{level}-mAP"] = precision[index]
            values[f"HL-min-{level}-Hit1"] = hits[index]
        return values
