"""What the DETRs share whose moment queries are anchors that read the clips: QD-DETR and those made of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.detr.anchors import AnchorDecoder
from src.models.detr.detr import DETR, DETRSettings, Prediction, Target
from src.models.detr.layers import EncoderLayer, logit, mlp, prepend
from src.models.detr.losses import margin_loss, negative_loss, ranking_loss
from src.models.dropout import Dropout
from src.models.predictor import Streams


class AnchorDETR(DETR):
    """Anchors, moved by a decoder, and heads that read them off.

    Args:
        settings: The sizes.
        decoder: Another decoder than that of QD-DETR.
        residual: What drops the branches of the layers.
    """

    def __init__(
        self,
        settings: DETRSettings,
        decoder: AnchorDecoder | None = None,
        residual: Callable[[float], nn.Module] = Dropout,
    ) -> None:
        super().__init__(settings)
        hidden = settings.hidden
        if decoder is None:
            decoder = AnchorDecoder(*settings.sizes, settings.layers, nn.PReLU, settings.dropout, residual)
        self.decoder = decoder
        self.queries = nn.Parameter(torch.randn(settings.queries, 2))
        self.label = nn.Linear(hidden, 2)
        self.span = mlp(hidden, 2, layers=3)

    def moments(self, memory: Tensor, position: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and spans, (layers, B, N, 2) each, over the memory (B, L, d) at position (B, L, d)."""
        contents, anchors = self.decoder(self.anchors(len(memory)), memory, position, mask)
        return self.label(contents), (self.span(contents) + logit(anchors[:-1])).sigmoid()

    def anchors(self, samples: int) -> Tensor:
        """The learned (centre, width) of the moment queries, for each sample: (B, N, 2)."""
        return self.queries.sigmoid().expand(samples, -1, -1)

    def pairings(self, streams: Streams) -> Streams:
        """The batch; in training, where it holds another query, followed by each video with the next sample's words."""
        if not self.training or len(streams.video) == 1:
            return streams
        return replace(
            streams,
            video=streams.video.repeat(2, 1, 1),
            video_mask=streams.video_mask.repeat(2, 1),
            query=with_next(streams.query),
            query_mask=with_next(streams.query_mask),
        )

    def saliency_loss(self, output: Prediction, target: Target) -> Tensor:
        loss = margin_loss(output.saliency, target.positive, target.negative, self.weights.margin)
        if output.negative is None:
            return loss + ranking_loss(output.saliency, target.labels, target.mask)
        loss = loss + ranking_against(output.saliency, output.negative, target.labels, target.mask)
        return loss + negative_loss(output.negative, target.mask)


class TokenDETR(AnchorDETR):
    """Clips are encoded beside a token that stands for the whole; those that agree with it in the end are salient."""

    def __init__(
        self,
        settings: DETRSettings,
        residual: Callable[[float], nn.Module] = Dropout,
    ) -> None:
        super().__init__(settings, residual=residual)
        sizes = (*settings.sizes, nn.PReLU, settings.dropout, residual)
        self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(settings.layers))
        self.global_position = nn.Parameter(torch.randn(settings.hidden))
        self.clip_saliency = nn.Linear(settings.hidden, settings.hidden)
        self.global_saliency = nn.Linear(settings.hidden, settings.hidden)

    def encode(
        self, token: Tensor, clips: Tensor, position: Tensor, mask: Tensor, token_is_read: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Encode clips (B, L, d) beside a token, (d,) or (B, d), which they read or not.

        Returns:
            The global memory (B, d) and the clip memory (B, L, d).
        """
        x, position = prepend(token, clips), prepend(self.global_position, position)
        mask = F.pad(mask, (1, 0), value=token_is_read)
        for layer in self.encoder:
            x = layer(x, position, mask)
        return x[:, 0], x[:, 1:]

    def agreement(self, whole: Tensor, clips: Tensor) -> Tensor:
        """The saliency (B, L) of clips (B, L, d) in the whole (B, d)."""
        product = self.clip_saliency(clips) * self.global_saliency(whole)[:, None]
        return product.sum(dim=-1) / math.sqrt(self.hidden)


def with_next(x: Tensor) -> Tensor:
    """A batch (B, …) followed by the next sample's in each place, the first's in the last: (2B, …)."""
    return torch.cat((x, x.roll(-1, dims=0)))


def apart(x: Tensor, samples: int) -> tuple[Tensor, Tensor | None]:
    """The part of a batch with its own words, and that with others', where there is one."""
    return x[:samples], x[samples:] if len(x) > samples else None


def ranking_against(saliency: Tensor, negative: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """The ranking loss of clips (B, L) beside the same clips with another query's words, which no label is for."""
    labels = F.pad(labels, (0, labels.shape[1]))
    return ranking_loss(torch.cat((saliency, negative), dim=1), labels, mask.repeat(1, 2))
