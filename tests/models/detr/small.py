"""Small networks, and small batches with random features for them."""

from __future__ import annotations

import torch
from torch import nn

from src.data.batch import Batch, Inputs, Labelled, Sample, collate
from src.data.records import Moment, Window
from src.models.detr.detr import DETR, Prediction
from src.models.predictor import Streams
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
) -> Labelled:
    moment = Moment(query_id, "video", "a query", windows, duration, (), saliency, relevant_clips)
    features, tokens = torch.randn(clips, DIM), torch.randn(words, DIM)
    seen = Sample(moment.query, duration, features, None, clips, tokens, torch.zeros(words, dtype=torch.bool))
    return Labelled(seen, moment, (0, 0))


def batch(*samples: Labelled) -> Batch:
    return collate(samples)


class Network(nn.Module):
    """A predictor and the embeddings it asks for."""

    def __init__(self, predictor: DETR) -> None:
        super().__init__()
        self.predictor = predictor
        self.video = predictor.embedding(DIM, "video")
        self.query = predictor.embedding(DIM, "query")

    def forward(self, inputs: Inputs) -> Prediction:
        video = self.video(inputs.video, inputs.snippet_mask, inputs)
        query = self.query(inputs.query, inputs.query_mask, inputs)
        return self.predictor(Streams(video, inputs.snippet_mask, query, inputs.query_mask, inputs, progress=1.0))


def network(kind: str, **changes: object) -> Network:
    torch.manual_seed(0)
    return Network(build(kind, **{"hidden": 32, "queries": 4, "dropout": 0.1, "input_dropout": 0.5, **changes}))
