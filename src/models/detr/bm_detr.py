"""BM-DETR: Background-aware Moment Detection for Video Moment Retrieval (Jung et al., WACV 2025).

A clip answers a query as far as it answers no other; a moment is to be found wherever in its video it is moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.data.batch import GroundTruth, Inputs
from src.models.detr.anchor_detr import AnchorDETR
from src.models.detr.anchors import AnchorDecoder, anchor_code
from src.models.detr.assignment import to_spans
from src.models.detr.detr import DETRSettings, Prediction, Target, Weights
from src.models.detr.labels import draw_pairs
from src.models.detr.layers import EncoderLayer, initialise, mlp
from src.models.detr.losses import margin_loss
from src.models.position import clip_code
from src.models.predictor import Streams

TEMPERATURE = 0.07


@dataclass
class BMDETRWeights(Weights):
    """`guidance`: of the probability of clips; `alignment`: of videos with their queries."""

    guidance: float = 2.0
    alignment: float = 3.0


@dataclass(frozen=True, kw_only=True)
class BMDETRSettings(DETRSettings):
    """The settings of BM-DETR.

    Attributes:
        decoder_layers: Of the decoder; `layers` are of the encoder.
        alignment: Size of the vectors in which videos and queries are aligned.
        shifting: Whether each step also teaches every video with its moment moved to another place.
    """

    decoder_layers: int
    alignment: int
    shifting: bool
    weights: BMDETRWeights

    def build(self) -> BMDETR:
        return BMDETR(self)


@dataclass
class BMPrediction(Prediction):
    """With what a step teaches beside the moments.

    Attributes:
        streams: What the network saw.
        clips, words: (B, L, d) and (B, Q, d), encoded.
        probability: (B, L) that a clip answers the query.
    """

    streams: Streams = None  # type: ignore[assignment]
    clips: Tensor = None  # type: ignore[assignment]
    words: Tensor = None  # type: ignore[assignment]
    probability: Tensor = None  # type: ignore[assignment]


class StillDecoder(AnchorDecoder):
    """Anchors that stay where they have learned to be; their width stands first in their code."""

    def __init__(self, settings: BMDETRSettings) -> None:
        super().__init__(*settings.sizes, settings.decoder_layers, nn.PReLU, settings.dropout)
        del self.move

    def code(self, anchors: Tensor) -> Tensor:
        return anchor_code(anchors.flip(-1), self.norm.normalized_shape[0])

    def moved(self, content: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor]:
        return anchors, anchors


class AttentivePool(nn.Module):
    """A sequence as one vector, by attention of its elements to themselves."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, dim, bias=False)
        self.score = nn.Linear(dim, 1, bias=False)
        self.output = nn.Linear(dim, dim)

    def weights(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, N, d), of which mask (B, N) is valid, to (B, N)."""
        return masked_softmax(self.score(self.hidden(x).tanh()).squeeze(-1), mask)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, N, d), of which mask (B, N) is valid, to (B, d)."""
        return self.output((self.weights(x, mask)[..., None] * x).sum(dim=1))


class BMDETR(AnchorDETR):
    """Clips and words are encoded together; still anchors read them."""

    settings: BMDETRSettings
    weights: BMDETRWeights

    def __init__(self, settings: BMDETRSettings) -> None:
        super().__init__(settings, StillDecoder(settings))
        hidden, sizes = settings.hidden, (*settings.sizes, nn.PReLU, settings.dropout)
        self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(settings.layers))
        self.position_scale = mlp(hidden, hidden, layers=2)
        initialise(self.encoder, self.position_scale)
        self.probability = nn.Sequential(
            nn.Linear(hidden, hidden // 2, bias=False), nn.Tanh(), nn.Linear(hidden // 2, 1, bias=False)
        )
        self.saliency = nn.Linear(hidden, 1)
        self.video_pool, self.query_pool = AttentivePool(hidden), AttentivePool(hidden)
        self.align_video = nn.Linear(hidden, settings.alignment)
        self.align_query = nn.Linear(hidden, settings.alignment)

    def forward(self, streams: Streams) -> BMPrediction:
        mask = streams.video_mask
        position = clip_code(mask, self.hidden)
        clips, words = self._encode(streams, position)
        memory = torch.cat((clips, words), dim=1)
        places = torch.cat((position, torch.zeros_like(words)), dim=1)
        logits, spans = self.moments(memory, places, torch.cat((mask, streams.query_mask), dim=1))
        probability = self._probability(clips)
        saliency = self._saliency(clips, probability, mask)
        return BMPrediction(
            logits[-1:], spans[-1:], saliency, None, streams=streams, clips=clips, words=words, probability=probability
        )

    def _encode(self, streams: Streams, position: Tensor) -> tuple[Tensor, Tensor]:
        """Clips (B, L, d) at position (B, L, d) and words (B, Q, d), encoded together."""
        x = torch.cat((streams.video, streams.query), dim=1)
        position = torch.cat((position, torch.zeros_like(streams.query)), dim=1)
        mask = torch.cat((streams.video_mask, streams.query_mask), dim=1)
        for layer in self.encoder:
            x = layer(x, position * self.position_scale(x), mask)
        count = streams.video.shape[1]
        return x[:, :count], x[:, count:]

    def _probability(self, clips: Tensor) -> Tensor:
        return self.probability(clips).squeeze(-1).sigmoid()

    def _saliency(self, clips: Tensor, probability: Tensor, mask: Tensor) -> Tensor:
        return self.saliency(weighted(clips, probability, mask)).squeeze(-1)

    def losses(self, output: Prediction, inputs: Inputs, truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        assert isinstance(output, BMPrediction)
        target, streams = self.target(inputs, truth, queries=output.spans.shape[2]), output.streams
        target.inside = foreground(inputs, truth)
        other, known = next_other(target.sources)
        strangers = replace(streams, query=streams.query[other], query_mask=streams.query_mask[other])
        terms = self.version(output, target, strangers, known.to(target.mask.device))
        if not self.settings.shifting:
            return terms
        order, target = self.shifted(target)
        moved = streams.video.gather(1, order[..., None].expand_as(streams.video))
        again = self(replace(streams, video=moved))
        shifted = self.version(again, target, replace(strangers, video=moved), known.to(target.mask.device))
        return {name: (terms[name] + shifted[name]) / 2 for name in terms}

    def version(self, output: BMPrediction, target: Target, strangers: Streams, known: Tensor) -> dict[str, Tensor]:
        """The terms of the loss for a version of the batch.

        Args:
            output: Of that version.
            target: What it is taught.
            strangers: Its videos with other queries.
            known: (B,) bool, where there is another query.
        """
        mask, weights = target.mask, self.weights
        background = self._probability(self._encode(strangers, clip_code(mask, self.hidden))[0])
        probability = output.probability * torch.where(known[:, None], 1 - background, 1.0)
        saliency = self._saliency(output.clips, probability, mask)
        video, query = self.aligned(output, probability)
        alike = video @ query.T / TEMPERATURE
        own = torch.arange(len(alike), device=alike.device)
        return {
            **self.set_losses(output, target.spans),
            "saliency": weights.saliency * self.saliency_loss(replace(output, saliency=saliency), target),
            "guidance": weights.guidance * guidance(probability, target.inside, mask),
            "alignment": weights.alignment * F.cross_entropy(alike, own),
        }

    def aligned(self, output: BMPrediction, probability: Tensor) -> tuple[Tensor, Tensor]:
        """A vector of length one for each video, its clips weighted by a probability (B, L), and for each query."""
        mask, query_mask = output.streams.video_mask, output.streams.query_mask
        video = self.video_pool(weighted(output.clips, probability, mask), mask)
        query = self.query_pool(output.words, query_mask)
        return F.normalize(self.align_video(video), dim=-1), F.normalize(self.align_query(query), dim=-1)

    def saliency_loss(self, output: Prediction, target: Target) -> Tensor:
        return margin_loss(output.saliency, target.positive, target.negative, self.weights.margin)

    def shifted(self, target: Target) -> tuple[Tensor, Target]:
        """Where each clip (B, L) of the videos comes from, whose moments are moved at random, and what they are taught.

        A query of several windows stays, and one whose window is the whole video.
        """
        length = target.mask.sum(dim=1)
        stays = (~target.spans[..., 0].isnan()).sum(dim=1) > 1
        first, last = ends(target.inside)
        rest = length - (last - first + 1)
        stays |= rest == 0
        place = torch.where(stays, first, (torch.rand(len(rest), device=rest.device) * rest).long())
        order, moved = move(target, first, last, place)

        def kept(old: Tensor, new: Tensor) -> Tensor:
            return torch.where(stays.view(-1, *[1] * (old.dim() - 1)), old, new)

        return order, replace(
            moved,
            spans=kept(target.spans, moved.spans),
            labels=kept(target.labels, moved.labels),
            positive=kept(target.positive, moved.positive),
            negative=kept(target.negative, moved.negative),
            inside=kept(target.inside, moved.inside),
        )


def masked_softmax(x: Tensor, mask: Tensor) -> Tensor:
    """softmax over the valid of x (B, N)."""
    return x.masked_fill(~mask, -torch.inf).softmax(dim=1)


def weighted(clips: Tensor, probability: Tensor, mask: Tensor) -> Tensor:
    """Clips (B, L, d) by the share that each has of a softmax of its probability (B, L)."""
    return masked_softmax(probability, mask)[..., None] * clips


def guidance(probability: Tensor, inside: Tensor, mask: Tensor) -> Tensor:
    """How much less probable clips (B, L) inside the moment are than 1, and others than 0, each on average."""
    outside = mask & ~inside

    def mean(which: Tensor) -> Tensor:
        return torch.where(which, probability, 0.0).sum(dim=1) / which.sum(dim=1).clamp(min=1)

    return (1 - mean(inside) + mean(outside)).mean()


def foreground(inputs: Inputs, truth: GroundTruth) -> Tensor:
    """The clips (B, L) of all windows, from the one that holds a window's start to the last that ends within it."""
    length = inputs.length[:, None]
    clips = (truth.windows.nan_to_num(-1.0) * (inputs.length / inputs.duration)[:, None, None]).floor()
    start, end = clips.unbind(dim=-1)
    last = (end.minimum(length) - 1).clamp(min=0)
    first = start.minimum(last)
    clip = torch.arange(inputs.snippet_mask.shape[1], device=clips.device)
    present = ~truth.windows[..., 0].isnan()
    inside = (first[..., None] <= clip) & (clip <= last[..., None]) & present[..., None]
    return inside.any(dim=1) & inputs.snippet_mask


def ends(inside: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the last clip, (B,) each, of those that `inside` (B, L) says."""
    count = inside.shape[1]
    return inside.int().argmax(dim=1), count - 1 - inside.flip(1).int().argmax(dim=1)


def next_other(sources: Sequence[str]) -> tuple[Tensor, Tensor]:
    """For each sample the next one of another source video, (B,), and whether there is one, (B,) bool."""
    count = len(sources)
    following = [[(row + step) % count for step in range(1, count)] for row in range(count)]
    others = [[other for other in rest if sources[other] != sources[row]] for row, rest in enumerate(following)]
    return torch.tensor([rest[0] if rest else 0 for rest in others]), torch.tensor([bool(rest) for rest in others])


def move(target: Target, first: Tensor, last: Tensor, place: Tensor) -> tuple[Tensor, Target]:
    """Take the clips first … last, (B,) each, of every video out and put them back so that the first stands at `place`.

    Returns:
        Where each clip (B, L) comes from; what is taught then. As released the window is taught without its last clip.
    """
    length, size = target.mask.sum(dim=1), (last - first + 1)[:, None]
    here = torch.arange(target.mask.shape[1], device=place.device)[None]
    first, place = first[:, None], place[:, None]
    inside = (place <= here) & (here < place + size)
    rest = torch.where(here < place, here, here - size)
    order = torch.where(inside, first + here - place, torch.where(rest < first, rest, rest + size))
    order = torch.where(target.mask, order, here)
    bounds = torch.cat((place, place + size - 1), dim=1) / length[:, None]
    spans = torch.full_like(target.spans, torch.nan)
    spans[:, 0] = to_spans(bounds.to(spans.dtype))
    end = place + size - 1
    salient = torch.where(size > 1, inside & (here < end), here == (place - 1).clamp(min=0))
    labels = (salient & target.mask).to(target.labels.dtype)
    pairs = draw_pairs(labels, target.mask)
    return order, Target(spans, labels, target.mask, *pairs, target.first, target.sources, inside & target.mask)
