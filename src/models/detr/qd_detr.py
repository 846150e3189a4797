"""QD-DETR: Query-Dependent Video Representation for Moment Retrieval (Moon et al., CVPR 2023)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.detr.anchors import AnchorDecoder
from src.models.detr.detr import DETR, DETRSettings, Prediction, SaliencyTarget
from src.models.detr.layers import EncoderLayer, TextToVideoLayer, initialise, logit, mlp
from src.models.detr.losses import margin_loss, negative_loss, ranking_loss
from src.models.position import clip_code
from src.models.predictor import Streams


class QDDETRSettings(DETRSettings):
    def build(self) -> QDDETR:
        return QDDETR(self)


class QDDETR(DETR):
    """Clips read the words, then each other beside a global token; anchors read the clips."""

    def __init__(self, settings: DETRSettings) -> None:
        super().__init__(settings)
        hidden, heads, layers = settings.hidden, settings.heads, settings.layers
        sizes = (hidden, heads, settings.feed_forward, nn.PReLU, settings.dropout)
        self.text_to_video = nn.ModuleList(TextToVideoLayer(*sizes) for _ in range(layers))
        self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(layers))
        initialise(self)
        self.decoder = AnchorDecoder(hidden, heads, settings.feed_forward, layers, nn.PReLU, settings.dropout)

        self.global_token = nn.Parameter(torch.randn(hidden))
        self.global_position = nn.Parameter(torch.randn(hidden))
        self.queries = nn.Parameter(torch.randn(settings.queries, 2))
        self.label = nn.Linear(hidden, 2)
        self.span = mlp(hidden, 2, layers=3)
        self.clip_saliency = nn.Linear(hidden, hidden)
        self.global_saliency = nn.Linear(hidden, hidden)

    def forward(self, streams: Streams) -> Prediction:
        samples, video_mask = len(streams.video), streams.video_mask
        clips, mask, words, words_mask = self._pairings(streams)
        position = clip_code(mask, self.hidden)
        whole, memory = self._encode(clips, position, mask, words, words_mask)
        saliency = self._saliency(whole, memory)

        anchors = self.queries.sigmoid().expand(samples, -1, -1)
        contents, anchors = self.decoder(anchors, memory[:samples], position[:samples], video_mask)
        return Prediction(
            logits=self.label(contents),
            spans=(self.span(contents) + logit(anchors)).sigmoid(),
            saliency=saliency[:samples],
            negative=saliency[samples:] if len(saliency) > samples else None,
        )

    def _pairings(self, streams: Streams) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The batch; in training, where it holds another query, followed by each video with the next sample's words."""
        video, video_mask, query, query_mask = streams.video, streams.video_mask, streams.query, streams.query_mask
        if not self.training or len(video) == 1:
            return video, video_mask, query, query_mask
        words, words_mask = (torch.cat((x, x.roll(-1, dims=0))) for x in (query, query_mask))
        return video.repeat(2, 1, 1), video_mask.repeat(2, 1), words, words_mask

    def _encode(
        self, clips: Tensor, position: Tensor, mask: Tensor, words: Tensor, words_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The global memory (B, d) and the clip memory (B, L, d)."""
        for layer in self.text_to_video:
            clips = layer(clips, position, words, words_mask)
        x = _prepend(self.global_token, clips)
        position = _prepend(self.global_position, position)
        mask = F.pad(mask, (1, 0), value=True)
        for layer in self.encoder:
            x = layer(x, position, mask)
        return x[:, 0], x[:, 1:]

    def _saliency(self, whole: Tensor, clips: Tensor) -> Tensor:
        agreement = self.clip_saliency(clips) * self.global_saliency(whole)[:, None]
        return agreement.sum(dim=-1) / math.sqrt(self.hidden)

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
