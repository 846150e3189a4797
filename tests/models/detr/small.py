"""Small networks, and small batches with random features for them."""

from __future__ import annotations

import torch
from torch import nn

from src.data.batch import Batch, Sample, collate
from src.data.records import Moment, Window
from src.models.detr.detr import DETR, Prediction
from tests.models.detr.golden import build

DIM = 24


def sample(
    query_id: str,
    windows: tuple[Window, ...],
    duration: float = 30.0,
    clips: int = 15,
    words: int = 5,
    saliency: tuple[tuple[float, float, float], ...] = (),
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


class Network(nn.Module):
    """A predictor and the embeddings it asks for."""

    def __init__(self, predictor: DETR) -> None:
        super().__init__()
        self.predictor = predictor
        self.video = predictor.embedding(DIM, "video")
        self.query = predictor.embedding(DIM, "query")

    def forward(self, data: Batch) -> Prediction:
        video = self.video(data.video, data.snippet_mask)
        return self.predictor(video, data.snippet_mask, self.query(data.query, data.query_mask), data.query_mask)


def network(kind: str, **changes: object) -> Network:
    torch.manual_seed(0)
    return Network(build(kind, **{"hidden": 32, "queries": 4, "dropout": 0.1, "input_dropout": 0.5, **changes}))
