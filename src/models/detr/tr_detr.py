"""TR-DETR: Task-Reciprocal Transformer for Joint Moment Retrieval and Highlight Detection (Sun et al., AAAI 2024).

Salient clips count more in a second encoding, from which the moments come; the clips of the best moment say in turn
which others are salient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.data.batch import Inputs
from src.models.detr.anchor_detr import AnchorDETR
from src.models.detr.assignment import Matches, to_bounds
from src.models.detr.detr import DETRSettings, Prediction, Target, Weights
from src.models.detr.layers import EncoderLayer, TextToVideoLayer, initialise, mean_of
from src.models.detr.losses import focal_loss
from src.models.position import clip_code
from src.models.predictor import Streams
from src.models.span.fusion import Fusion, Trilinear

TEMPERATURE = 0.07


@dataclass
class TRDETRWeights(Weights):
    """`global_alignment`: of videos and queries; `local_alignment`: of clips and their query."""

    global_alignment: float = 0.3
    local_alignment: float = 0.5


@dataclass(frozen=True, kw_only=True)
class TRDETRSettings(DETRSettings):
    weights: TRDETRWeights

    def build(self) -> TRDETR:
        return TRDETR(self)


@dataclass
class TRPrediction(Prediction):
    """With the embedded streams, which are aligned in training: video (B, L, d), query (B, Q, d)."""

    streams: Streams = None  # type: ignore[assignment]


class TRDETR(AnchorDETR):
    """Clips fused with the words read them, then each other twice; anchors read the clips."""

    weights: TRDETRWeights

    def __init__(self, settings: TRDETRSettings) -> None:
        super().__init__(settings)
        hidden, layers, dropout = settings.hidden, settings.layers, settings.dropout
        sizes = (*settings.sizes, nn.PReLU, dropout)
        self.fusion = Fusion(hidden, Trilinear(hidden, dropout), nn.ReLU())
        self.text_to_video = nn.ModuleList(TextToVideoLayer(*sizes) for _ in range(layers))
        self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(layers))
        initialise(self.fusion.similarity, self.fusion.pool, self.text_to_video, self.encoder)
        self.moment_reader = nn.GRU(hidden, hidden, batch_first=True)
        self.clip_saliency = nn.Linear(hidden, hidden)

    def forward(self, streams: Streams) -> TRPrediction:
        video, mask = streams.video, streams.video_mask
        position = clip_code(mask, self.hidden)
        clips = self.fusion(video, mask, streams.query, streams.query_mask)
        for layer in self.text_to_video:
            clips = layer(clips, position, streams.query, streams.query_mask)
        memory = self._encode(clips, position, mask)
        share = self._saliency(memory).masked_fill(~mask, -torch.inf).softmax(dim=1)
        memory = self._encode(memory + share[..., None] * clips, position, mask)
        logits, spans = self.moments(memory, position, mask)
        alike = self._likeness(video, mask, *best_window(logits[-1], spans[-1], mask))
        return TRPrediction(logits, spans, self._saliency(memory, 1 + alike), streams=streams)

    def _encode(self, clips: Tensor, position: Tensor, mask: Tensor) -> Tensor:
        for layer in self.encoder:
            clips = layer(clips, position, mask)
        return clips

    def _saliency(self, memory: Tensor, factor: Tensor | float = 1.0) -> Tensor:
        """The sum of all channels of a linear map of memory (B, L, d) times `factor` (B, L): (B, L)."""
        weight, bias = self.clip_saliency.weight.sum(dim=0), self.clip_saliency.bias.sum()
        return (factor * (memory @ weight) + bias) / math.sqrt(self.hidden)

    def _likeness(self, video: Tensor, mask: Tensor, first: Tensor, last: Tensor) -> Tensor:
        """How alike each clip (B, L) is to the clips first … last of its video, read one after the other."""
        length = mask.sum(dim=1)
        place = torch.arange(mask.shape[1], device=mask.device)
        # As released: a moment that starts before the video is counted from its end, which leaves it empty.
        source = torch.where(first < 0, (first + length).clamp(min=0), first)[:, None] + place
        inside = source < (last + 1).minimum(length)[:, None]
        rows = source.clamp(max=mask.shape[1] - 1)[..., None].expand_as(video)
        moment = torch.where(inside[..., None], video.gather(1, rows), 0.0)
        # It is read with zeros behind it to the length of the video.
        states, _ = self.moment_reader(moment)
        summary = states[torch.arange(len(states), device=states.device), length - 1]
        return torch.einsum("bd,bld->bl", summary, video)

    def label_loss(self, logits: Tensor, matches: Matches) -> Tensor:
        return focal_loss(logits, matches)

    def terms(self, output: Prediction, inputs: Inputs, target: Target) -> dict[str, Tensor]:
        assert isinstance(output, TRPrediction)
        return {
            **super().terms(output, inputs, target),
            "global_alignment": self.weights.global_alignment * global_alignment(output.streams),
            "local_alignment": self.weights.local_alignment * local_alignment(output.streams, target.labels > 0),
        }


@torch.no_grad()
def best_window(logits: Tensor, spans: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The first and last clip, (B,) each, of the most probable of moments (B, N, 2); neither need lie in the video."""
    best = logits.softmax(dim=-1)[..., 0].argmax(dim=1)
    bounds = to_bounds(spans[torch.arange(len(spans), device=spans.device), best])
    first, last = (bounds * mask.sum(dim=1)[:, None]).floor().long().unbind(dim=1)
    return first, last


def global_alignment(streams: Streams) -> Tensor:
    """The contrast of the mean clip of each video with the mean word of each query, both ways."""
    video = F.normalize(mean_of(streams.video, streams.video_mask), dim=-1)
    query = F.normalize(mean_of(streams.query, streams.query_mask), dim=-1)
    alike = video @ query.T / TEMPERATURE
    own = torch.arange(len(alike), device=alike.device)
    return (F.cross_entropy(alike, own) + F.cross_entropy(alike.T, own)) / 2


def local_alignment(streams: Streams, relevant: Tensor) -> Tensor:
    """Cross-entropy of whether a clip is `relevant` (B, L), by its cosine with the query's words."""
    query = mean_of(F.normalize(streams.query, dim=-1), streams.query_mask)
    alike = torch.einsum("bld,bd->bl", F.normalize(streams.video, dim=-1), query) / TEMPERATURE
    mask = streams.video_mask
    return F.binary_cross_entropy_with_logits(alike[mask], relevant[mask].to(alike.dtype))
