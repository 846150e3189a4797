"""Small batches with random features for the DETR predictors."""

from __future__ import annotations

import torch

from src.data.batch import Batch, Sample, collate
from src.data.records import Moment, Window

DIM = 24


def sample(
    query_id: str,
    windows: tuple[Window, ...],
    duration: float = 30.0,
    clips: int = 15,
    words: int = 5,
    saliency: tuple[float, ...] = (),
    relevant_clips: tuple[int, ...] = (),
) -> Sample:
    moment = Moment(query_id, "video", "a query", windows, duration, (), saliency, relevant_clips)
    return Sample(
        moment,
        torch.randn(clips, DIM),
        None,
        clips,
        torch.randn(words, DIM),
        torch.zeros(words, dtype=torch.bool),
        (0, 0),
    )


def batch(*samples: Sample) -> Batch:
    return collate(samples)
