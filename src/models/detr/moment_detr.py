"""Moment-DETR: Detecting Moments and Highlights in Videos via Natural Language Queries (Lei et al., NeurIPS 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from src.models.detr.detr import DETR, DETRSettings, Prediction, Target
from src.models.detr.layers import Decoder, EncoderLayer, initialise, mlp
from src.models.detr.losses import margin_loss
from src.models.position import clip_code
from src.models.predictor import Streams


class MomentDETRSettings(DETRSettings):
    def build(self) -> MomentDETR:
        return MomentDETR(self)


class MomentDETR(DETR):
    """Clips and words are encoded together; learned queries read them."""

    def __init__(self, settings: DETRSettings) -> None:
        super().__init__(settings)
        hidden, layers = settings.hidden, settings.layers
        sizes = settings.sizes
        self.encoder = nn.ModuleList(EncoderLayer(*sizes, nn.ReLU, settings.dropout) for _ in range(layers))
        initialise(self)
        self.decoder = Decoder(*sizes, layers, nn.ReLU, settings.dropout)
        self.queries = nn.Parameter(torch.randn(settings.queries, hidden))
        self.label = nn.Linear(hidden, 2)
        self.span = mlp(hidden, 2, layers=3)
        self.saliency = nn.Linear(hidden, 1)

    def forward(self, streams: Streams) -> Prediction:
        video, query = streams.video, streams.query
        x = torch.cat((video, query), dim=1)
        mask = torch.cat((streams.video_mask, streams.query_mask), dim=1)
        position = torch.cat((clip_code(streams.video_mask, self.hidden), torch.zeros_like(query)), dim=1)
        for layer in self.encoder:
            x = layer(x, position, mask)
        contents = self.decoder(self.queries.expand(len(video), -1, -1), x, position, mask)
        return Prediction(
            logits=self.label(contents),
            spans=self.span(contents).sigmoid(),
            saliency=self.saliency(x[:, : video.shape[1]]).squeeze(-1),
        )

    def saliency_loss(self, output: Prediction, target: Target) -> Tensor:
        return margin_loss(output.saliency, target.positive, target.negative, self.weights.margin)
