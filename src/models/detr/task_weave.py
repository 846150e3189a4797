"""TaskWeave: Task-Driven Exploration, Decoupling and Inter-Task Feedback for Joint Moment Retrieval and Highlight
Detection (Yang et al., CVPR 2024). One encoder serves both tasks, and one task's result is fed into the other."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.data.batch import Inputs
from src.models.detr.anchor_detr import AnchorDETR, apart
from src.models.detr.assignment import to_bounds
from src.models.detr.detr import DETRSettings, Prediction, Target
from src.models.detr.layers import EncoderLayer, TextToVideoLayer, initialise
from src.models.position import clip_code
from src.models.predictor import Streams

NEIGHBOURS = 5
"""Clips that `pool` takes the maximum over."""


@dataclass(frozen=True, kw_only=True)
class TaskWeaveSettings(DETRSettings):
    """The settings of TaskWeave.

    Attributes:
        feedback: The task whose result is fed into the other: `highlights` or `moments`.
        feedback_from: The share of training that is done when it begins.
    """

    feedback: Literal["highlights", "moments"]
    feedback_from: float

    def build(self) -> TaskWeave:
        return TaskWeave(self)


class TaskWeave(AnchorDETR):
    """Clips that read the words make two memories, of moments and of highlights, each by a product of two branches."""

    settings: TaskWeaveSettings

    def __init__(self, settings: TaskWeaveSettings) -> None:
        super().__init__(settings)
        hidden, layers = settings.hidden, settings.layers
        sizes = (*settings.sizes, nn.PReLU, settings.dropout)
        self.text_to_video = nn.ModuleList(TextToVideoLayer(*sizes) for _ in range(layers))
        self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(layers))
        self.moment_input = nn.Linear(hidden, hidden)
        self.highlight_input = nn.Linear(hidden, hidden)
        # As released, in which a mask is the wrong way round: the moments' own branch says the same of every clip.
        self.moment_branch = nn.Parameter(torch.zeros(hidden))
        self.moment_output = nn.Linear(hidden, hidden)
        initialise(self.text_to_video, self.encoder, self.decoder)
        initialise(self.moment_input, self.highlight_input, self.moment_output)
        self.clip_saliency = nn.Sequential(nn.Linear(hidden, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 1))
        self.saliency_doubt = nn.Parameter(torch.zeros(()))
        self.moment_doubt = nn.Parameter(torch.zeros(()))

    def forward(self, streams: Streams) -> Prediction:
        mask, paired = streams.video_mask, self.pairings(streams)
        position = clip_code(paired.video_mask, self.hidden)
        pooled = self._read(paired, position)
        own, others = apart(self._highlights(pooled, position, paired.video_mask), len(mask))
        position, pooled = position[: len(mask)], pooled[: len(mask)]
        negative = None if others is None else self._saliency(others)
        fed, source = streams.progress >= self.settings.feedback_from, self.settings.feedback

        if fed and source == "highlights":
            saliency = self._saliency(own)
            salient = saliency > masked_mean(saliency, mask)
            video = torch.where(salient[..., None], 2 * streams.video, streams.video)
            pooled = self._read(replace(streams, video=video), position)
        logits, spans = self.moments(self._moments(pooled, position, mask), position, mask)
        if not (fed and source == "highlights"):
            saliency = self._saliency(own, covered(spans[-1], mask) if fed else None)
        return Prediction(logits, spans, saliency, negative)

    def _read(self, streams: Streams, position: Tensor) -> Tensor:
        """Clips (B, L, d) that have read the words, and taken what is largest near them."""
        clips = streams.video
        for layer in self.text_to_video:
            clips = layer(clips, position, streams.query, streams.query_mask)
        return pool(clips, streams.video_mask)

    def _shared(self, clips: Tensor, position: Tensor, mask: Tensor) -> Tensor:
        """The branch that both tasks share, of clips (B, L, d)."""
        for layer in self.encoder:
            clips = layer(clips, position, mask)
        return pool(clips, mask)

    def _moments(self, pooled: Tensor, position: Tensor, mask: Tensor) -> Tensor:
        """The memory (B, L, d) of the moments."""
        return self.moment_output(self.moment_branch) * self._shared(self.moment_input(pooled), position, mask)

    def _highlights(self, pooled: Tensor, position: Tensor, mask: Tensor) -> Tensor:
        """The memory (B, L, d) of the highlights."""
        own = self.highlight_input(pooled)
        return own * self._shared(own, position, mask)

    def _saliency(self, highlights: Tensor, shares: Tensor | None = None) -> Tensor:
        """The saliency (B, L) of clips (B, L, d); `shares` (B, L): how much more the moments in each count."""
        seen = highlights if shares is None else highlights * (1 + shares[..., None])
        return self.clip_saliency(seen).squeeze(-1) + highlights.sum(dim=-1) / math.sqrt(self.hidden)

    def terms(self, output: Prediction, inputs: Inputs, target: Target) -> dict[str, Tensor]:
        """Each task by a doubt that is learned (Kendall et al. 2018). The moments' weights are of the matching only."""
        moments = torch.stack(list(self.set_terms(output, target.spans).values())).sum()
        saliency = self.weights.saliency * self.saliency_loss(output, target)
        return {
            "saliency": (-self.saliency_doubt).exp() * saliency,
            "moments": (-self.moment_doubt).exp() * moments,
            "doubt": self.saliency_doubt + self.moment_doubt,
        }


def pool(clips: Tensor, mask: Tensor) -> Tensor:
    """The maximum, channel by channel, of each clip (B, L, d) and its neighbours, two on either side."""
    inside = mask[..., None]
    x = clips.masked_fill(~inside, -torch.inf).mT
    return F.max_pool1d(x, NEIGHBOURS, stride=1, padding=NEIGHBOURS // 2).mT.masked_fill(~inside, 0.0)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """The mean of x (B, L) where mask (B, L) says: (B, 1)."""
    return torch.where(mask, x, 0.0).sum(dim=1, keepdim=True) / mask.sum(dim=1, keepdim=True)


@torch.no_grad()
def covered(spans: Tensor, mask: Tensor) -> Tensor:
    """How many of the moments (B, N, 2) reach each clip, counted in half clips, as a vector of length one: (B, L)."""
    halves = 2 * mask.sum(dim=1)
    bounds = (to_bounds(spans) * halves[:, None, None]).clamp(min=0).minimum(halves[:, None, None] - 1).floor()
    half = torch.arange(2 * mask.shape[1], device=mask.device)
    inside = (bounds[..., :1] <= half) & (half <= bounds[..., 1:])
    count = inside.sum(dim=1).unflatten(1, (-1, 2)).to(spans.dtype).mean(dim=-1)
    return F.normalize(torch.where(mask, count, 0.0), dim=1)
