"""QD-DETR: Query-Dependent Video Representation for Moment Retrieval (Moon et al., CVPR 2023)."""

from __future__ import annotations

import torch
from torch import nn

from src.models.detr.anchor_detr import TokenDETR, apart
from src.models.detr.detr import DETRSettings, Prediction
from src.models.detr.layers import TextToVideoLayer, initialise
from src.models.position import clip_code
from src.models.predictor import Streams


class QDDETRSettings(DETRSettings):
    def build(self) -> QDDETR:
        return QDDETR(self)


class QDDETR(TokenDETR):
    """Clips read the words, then each other beside a global token; anchors read the clips."""

    def __init__(self, settings: DETRSettings) -> None:
        super().__init__(settings)
        sizes = (*settings.sizes, nn.PReLU, settings.dropout)
        self.text_to_video = nn.ModuleList(TextToVideoLayer(*sizes) for _ in range(settings.layers))
        initialise(self.text_to_video, self.encoder)
        self.global_token = nn.Parameter(torch.randn(settings.hidden))

    def forward(self, streams: Streams) -> Prediction:
        samples, mask = len(streams.video), streams.video_mask
        paired = self.pairings(streams)
        position = clip_code(paired.video_mask, self.hidden)
        clips = paired.video
        for layer in self.text_to_video:
            clips = layer(clips, position, paired.query, paired.query_mask)
        whole, memory = self.encode(self.global_token, clips, position, paired.video_mask)
        saliency, negative = apart(self.agreement(whole, memory), samples)
        logits, spans = self.moments(memory[:samples], position[:samples], mask)
        return Prediction(logits, spans, saliency, negative)
