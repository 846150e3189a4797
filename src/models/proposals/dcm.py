"""DCM (Yang et al., SIGIR 2021): 2D-TAN's map, where what a segment holds is kept apart from where it lies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from src.data.batch import GroundTruth, Inputs
from src.models.attention import attend
from src.models.position import clip_code
from src.models.predictor import Stream
from src.models.proposals.convolution import CellConvolution, Neighbours
from src.models.proposals.frames import require_multiple
from src.models.proposals.maps import ClipEmbedding, MapOutput, unit
from src.models.proposals.segments import Segments, canvas, runs
from src.models.proposals.tan_2d import CausalWords, ResampledPredictor, ResampledSettings

KERNEL = 5
"""Cells each way that a convolution over the map sees."""

LAYERS = 3
"""Convolutions over the map."""

TOGETHER = 256
"""Segments that are compared with all others at a time. What that takes is made again on the way back instead of kept:
memory grows with the segments, not with their pairs."""


@dataclass
class DCMOutput(MapOutput):
    """`disentangled`: of each network, the content and the location (B, P, d) of its segments."""

    disentangled: tuple[tuple[Tensor, Tensor], ...]


class Intervention(nn.Module):
    """What a query and a segment's content ask of all locations of the video, and the segment's own location.

    Args:
        dim: d.
        heads: Heads of the attention; they divide d.
        dropout: Of its weights.
        own: η, the weight of the segment's own location.
    """

    def __init__(self, dim: int, heads: int, dropout: float, own: float) -> None:
        super().__init__()
        self.heads, self.dropout, self.own = heads, dropout, own
        self.of_query = nn.Linear(dim, dim)
        self.of_content = nn.Linear(dim, dim)
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim)

    def forward(self, content: Tensor, location: Tensor, sentence: Tensor) -> Tensor:
        """content and location (B, P, d), sentence (B, d), to (B, P, d)."""
        asking = self.of_query(sentence.relu())[:, None] + self.of_content(content.relu())
        value = self.value(location).relu()
        more = (self.key(location), value, None, self.heads, self.dropout if self.training else 0.0)
        attended = [
            checkpoint(attend, some, *more, use_reentrant=False) for some in self.query(asking).split(TOGETHER, dim=1)
        ]
        return torch.cat(attended, dim=1) + self.own * value


@dataclass(frozen=True, kw_only=True)
class DCMSettings(ResampledSettings):
    """The settings of a `DCM`.

    Attributes:
        heads: Heads of the intervention; they divide d.
        dropout: Of its attention weights.
        own: η, the weight of a segment's own location in it.
        location: σ, the weight of the loss that a location tells its place.
        independence: λ, the weight of the distance correlation of content and location.
        size: The weight of the length of both.
    """

    heads: int
    dropout: float
    own: float
    location: float
    independence: float
    size: float

    def build(self) -> DCM:
        require_multiple(self.samples, self.scales)
        return DCM(self)


class DCM(ResampledPredictor):
    """Deconfounded Cross-modal Matching over a temporal convolution network."""

    settings: DCMSettings

    def __init__(self, settings: DCMSettings) -> None:
        super().__init__(settings)
        dim = settings.hidden
        self.content = nn.Linear(dim, dim)
        self.location = nn.Linear(dim, dim)
        self.intervention = Intervention(dim, settings.heads, settings.dropout, settings.own)
        self.asked = nn.Linear(dim, dim)
        self.convolutions = nn.ModuleList(CellConvolution(dim, dim, KERNEL) for _ in range(LAYERS))
        self.residual = nn.Linear(dim, dim)
        self.weight = nn.Linear(dim, 1, bias=False)

    def embedding(self, dim: int, stream: Stream) -> nn.Module:
        settings = self.settings
        if stream == "query":
            return CausalWords(dim, settings.hidden, settings.word_layers)
        return ClipEmbedding(dim, settings.hidden, stream)

    def sibling(self) -> DCM:
        return DCM(self.settings)

    def score(self, features: Tensor, sentence: Tensor, segments: Segments, count: Tensor) -> DCMOutput:
        content, location = self.content(features), self.location(features).tanh()
        told = content + self.intervention(content, location, sentence)
        fused = unit(self.asked(sentence)[:, None] * told)
        x, around = fused, neighbours(tuple(self.settings.scales), features.device)
        for convolution in self.convolutions:
            x = convolution(x, around).relu()
        logits = self.weight(x + self.residual(fused).relu()).squeeze(-1)
        both = ((content, location),)
        return DCMOutput.of(logits, segments, count, (segments.every,), disentangled=both)

    def fuse(self, video: MapOutput, paragraph: MapOutput, alpha: float) -> MapOutput:
        assert isinstance(video, DCMOutput)
        assert isinstance(paragraph, DCMOutput)
        both = video.disentangled + paragraph.disentangled
        return replace(super().fuse(video, paragraph, alpha), disentangled=both)  # type: ignore[call-arg]

    def losses(self, output: MapOutput, inputs: Inputs, truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        assert isinstance(output, DCMOutput)
        settings, segments = self.settings, output.segments
        place = position_code(segments, canvas(settings.scales), self.hidden)
        further = {
            "location": [settings.location * location_loss(location, place) for _, location in output.disentangled],
            "independence": [
                settings.independence * distance_correlation(*(each.flatten(0, 1) for each in both))
                for both in output.disentangled
            ],
            "size": [
                settings.size * torch.stack([each.float().norm() for each in both]).sum()
                for both in output.disentangled
            ],
        }
        terms = super().losses(output, inputs, truth, progress)
        return terms | {name: torch.stack(each).sum() for name, each in further.items()}


@cache
def neighbours(scales: tuple[int, ...], device: torch.device) -> Neighbours:
    """What lies beside each segment on the map."""
    # What is made while nothing learns is to serve while something does.
    with torch.inference_mode(False):
        places = torch.tensor(runs(scales))
        return Neighbours.of(places, places, KERNEL).to(device)


def position_code(segments: Segments, frames: int, dim: int) -> Tensor:
    """The codes of a segment's first and last of N `frames` side by side, (P, dim)."""
    code = clip_code(torch.ones(1, frames, device=segments.first.device), dim // 2)[0]
    return torch.cat((code[segments.first], code[segments.last]), dim=1)


def location_loss(location: Tensor, place: Tensor) -> Tensor:
    """The mean distance of locations (B, P, d) from the codes (P, d) of their places."""
    return (location.float() - place + 1e-6).norm(dim=-1).mean()


def distance_correlation(one: Tensor, other: Tensor) -> Tensor:
    """How two descriptions (n, d) of the same things depend on each other, in [0, 1] (Székely et al., 2007).

    The mean product of two centred matrices of distances, without the centred matrices.
    """
    parts = zip(one.split(TOGETHER), other.split(TOGETHER), strict=True)
    compared = [checkpoint(_compare, *some, one, other, use_reentrant=False) for some in parts]
    rows, products = zip(*compared, strict=True)
    first, second = torch.cat(rows, dim=1)
    pairs = ((first, second), (first, first), (second, second))
    both, own, others = map(_covariance, torch.stack(products).sum(dim=0) / len(one) ** 2, *zip(*pairs, strict=True))
    return (both.sqrt() / (own.sqrt() * others.sqrt() + 1e-9).sqrt()).float()


def _compare(one: Tensor, other: Tensor, ones: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Some rows (r, n) of the distances of either description: their means (2, r), and of the products of both, of the
    first with itself and of the second with itself the sums (3,)."""
    first, second = distances(one, ones), distances(other, others)
    rows = torch.stack([each.mean(dim=1, dtype=torch.float64) for each in (first, second)])
    pairs = ((first, second), (first, first), (second, second))
    return rows, torch.stack([(left * right).sum(dtype=torch.float64) for left, right in pairs])


def distances(x: Tensor, y: Tensor) -> Tensor:
    """The distance of each of x (m, d) from each of y (n, d), (m, n)."""
    x, y = x.float(), y.float()
    squares = [each.square().sum(dim=1) for each in (x, y)]
    return ((squares[0][:, None] + squares[1] - 2 * x @ y.T).clamp(min=0) + 1e-9).sqrt()


def _covariance(product: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Of a mean product and the means of the rows (n,)."""
    found = product - 2 * (one * other).mean() + one.mean() * other.mean()
    # Where all is the same, the root of what rounding leaves would have no gradient.
    return found.clamp(min=1e-12)
