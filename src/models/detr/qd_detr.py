"""QD-DETR: Query-Dependent Video Representation for Moment Retrieval (Moon et al., CVPR 2023)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.detr.anchors import AnchorDecoder
from src.models.detr.detr import DETR, Prediction, SaliencyTarget, Weights
from src.models.detr.layers import EncoderLayer, TextToVideoLayer, initialise, logit, mlp
from src.models.detr.losses import margin_loss, negative_loss, ranking_loss
from src.models.position import clip_code


class QDDETR(DETR):
    """Clips read the words, then each other beside a global token; anchors read the clips.

    Args:
        dim: d, the hidden size.
        heads: of every attention; divides d.
        layers: of each of the three stacks.
        feed_forward: hidden width of the feed-forward parts.
        queries: N, moments that are predicted.
        dropout: within the transformer.
        input_dropout, max_windows, weights: see `DETR`.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        layers: int,
        feed_forward: int,
        queries: int,
        dropout: float,
        input_dropout: float,
        max_windows: int | None,
        weights: Weights,
    ) -> None:
        super().__init__(dim, input_dropout, max_windows, weights)
        sizes = (dim, heads, feed_forward, nn.PReLU, dropout)
        self.text_to_video = nn.ModuleList(TextToVideoLayer(*sizes) for _ in range(layers))
        self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(layers))
        initialise(self)
        self.decoder = AnchorDecoder(dim, heads, feed_forward, layers, nn.PReLU, dropout)

        self.global_token = nn.Parameter(torch.randn(dim))
        self.global_position = nn.Parameter(torch.randn(dim))
        self.queries = nn.Parameter(torch.randn(queries, 2))
        self.label = nn.Linear(dim, 2)
        self.span = mlp(dim, 2, layers=3)
        self.clip_saliency = nn.Linear(dim, dim)
        self.global_saliency = nn.Linear(dim, dim)

    def forward(self, video: Tensor, video_mask: Tensor, query: Tensor, query_mask: Tensor) -> Prediction:
        position = clip_code(video_mask, self.dim)
        whole, clips = self._encode(video, position, video_mask, query, query_mask)
        anchors = self.queries.sigmoid().expand(len(video), -1, -1)
        contents, anchors = self.decoder(anchors, clips, position, video_mask)
        return Prediction(
            logits=self.label(contents),
            spans=(self.span(contents) + logit(anchors)).sigmoid(),
            saliency=self._saliency(whole, clips),
            negative=self._negative(video, position, video_mask, query, query_mask),
        )

    def _encode(
        self, clips: Tensor, position: Tensor, clip_mask: Tensor, words: Tensor, word_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The global memory (B, d) and the clip memory (B, L, d)."""
        for layer in self.text_to_video:
            clips = layer(clips, position, words, word_mask)
        x = _prepend(self.global_token, clips)
        placed = _prepend(self.global_position, position)
        mask = F.pad(clip_mask, (1, 0), value=True)
        for layer in self.encoder:
            x = layer(x, placed, mask)
        return x[:, 0], x[:, 1:]

    def _saliency(self, whole: Tensor, clips: Tensor) -> Tensor:
        agreement = self.clip_saliency(clips) * self.global_saliency(whole)[:, None]
        return agreement.sum(dim=-1) / math.sqrt(self.dim)

    def _negative(
        self, video: Tensor, position: Tensor, video_mask: Tensor, query: Tensor, query_mask: Tensor
    ) -> Tensor | None:
        """The saliency of each video with the next sample's words, in training; None in a batch of one."""
        if not self.training or len(video) == 1:
            return None
        return self._saliency(
            *self._encode(video, position, video_mask, query.roll(-1, dims=0), query_mask.roll(-1, dims=0))
        )

    def saliency_loss(self, output: Prediction, target: SaliencyTarget) -> Tensor:
        loss = margin_loss(output.saliency, target.positive, target.negative, self.weights.margin)
        if output.negative is None:
            return loss + ranking_loss(output.saliency, target.labels, target.mask)
        labels = F.pad(target.labels, (0, target.labels.shape[1]))
        saliency = torch.cat((output.saliency, output.negative), dim=1)
        loss = loss + ranking_loss(saliency, labels, target.mask.repeat(1, 2))
        return loss + negative_loss(output.negative, target.mask)


def _prepend(token: Tensor, sequence: Tensor) -> Tensor:
    """One vector (d,) before every sequence (B, N, d)."""
    return torch.cat((token.expand(len(sequence), 1, -1), sequence), dim=1)
