"""Moment-DETR: Detecting Moments and Highlights in Videos via Natural Language Queries (Lei et al., NeurIPS 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from src.models.detr.detr import DETR, Prediction, SaliencyTarget, Weights
from src.models.detr.layers import Decoder, EncoderLayer, initialise, mlp
from src.models.detr.losses import margin_loss
from src.models.position import clip_code


class MomentDETR(DETR):
    """Clips and words are encoded together; learned queries read them. Arguments as of `QDDETR`."""

    def __init__(
        self,
        hidden: int,
        heads: int,
        layers: int,
        feed_forward: int,
        queries: int,
        dropout: float,
        input_dropout: float,
        streams: Sequence[int] | None,
        max_windows: int | None,
        weights: Weights,
    ) -> None:
        super().__init__(hidden, input_dropout, streams, max_windows, weights)
        self.encoder = nn.ModuleList(EncoderLayer(hidden, heads, feed_forward, nn.ReLU, dropout) for _ in range(layers))
        initialise(self)
        self.decoder = Decoder(hidden, heads, feed_forward, layers, nn.ReLU, dropout)
        self.queries = nn.Parameter(torch.randn(queries, hidden))
        self.label = nn.Linear(hidden, 2)
        self.span = mlp(hidden, 2, layers=3)
        self.saliency = nn.Linear(hidden, 1)

    def forward(self, video: Tensor, video_mask: Tensor, query: Tensor, query_mask: Tensor) -> Prediction:
        x = torch.cat((video, query), dim=1)
        mask = torch.cat((video_mask, query_mask), dim=1)
        position = torch.cat((clip_code(video_mask, self.hidden), torch.zeros_like(query)), dim=1)
        for layer in self.encoder:
            x = layer(x, position, mask)
        contents = self.decoder(self.queries.expand(len(video), -1, -1), x, position, mask)
        return Prediction(
            logits=self.label(contents),
            spans=self.span(contents).sigmoid(),
            saliency=self.saliency(x[:, : video.shape[1]]).squeeze(-1),
        )

    def saliency_loss(self, output: Prediction, target: SaliencyTarget) -> Tensor:
        return margin_loss(output.saliency, target.positive, target.negative, self.weights.margin)
