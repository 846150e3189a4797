"""2D-TAN (Zhang et al., AAAI 2020): a map of segments by first and last frame, and convolutions over it."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.data.batch import Inputs
from src.models.predictor import Stream, Streams
from src.models.proposals.convolution import CellConvolution, Neighbours
from src.models.proposals.frames import require_multiple, resampled
from src.models.proposals.maps import ClipEmbedding, Fusion, MapOutput, MapPredictor, MapSettings
from src.models.proposals.segments import Segments, canvas, runs
from src.models.recurrent import LSTM
from src.models.words import ends


class CausalWords(LSTM):
    """The states of an LSTM over the words: one knows the words before it."""

    def forward(self, features: Tensor, mask: Tensor, inputs: Inputs) -> Tensor:  # type: ignore[override]
        """features (B, Q, dim) to (B, Q, states); nothing else plays a part."""
        return super().forward(features)


class ProjectedWords(nn.Module):
    """FC(LSTM(words)): what is asked up to each word."""

    def __init__(self, dim: int, states: int, layers: int, hidden: int) -> None:
        super().__init__()
        self.lstm = CausalWords(dim, states, layers)
        self.linear = nn.Linear(states, hidden)

    def forward(self, features: Tensor, mask: Tensor, inputs: Inputs) -> Tensor:
        """features (B, Q, dim) to (B, Q, d)."""
        return self.linear(self.lstm(features, mask, inputs))


class Layer(NamedTuple):
    """What a convolution over marked cells sees: its neighbours, and the share (P', 1) of each that it writes, one by
    the number of marked cells under the kernel."""

    neighbours: Neighbours
    share: Tensor


class MarkedMap(nn.Module):
    """Convolutions over the map of segments, and a score.

    A layer writes wherever a marked cell lies under its kernel, also beyond the triangle, and divides by how many do;
    what it wrote is marked for the next. Only cells that a segment's score depends on are computed.
    """

    def __init__(self, dim: int, scales: Sequence[int], kernel: int, layers: int) -> None:
        super().__init__()
        self.scales = tuple(scales)
        self.kernel = kernel
        self.fusion = Fusion(dim)
        self.convolutions = nn.ModuleList(CellConvolution(dim, dim, kernel) for _ in range(layers))
        self.score = nn.Linear(dim, 1)

    def forward(self, x: Tensor, sentence: Tensor, mask: Tensor) -> Tensor:
        """x (B, P, d), of which mask (B, P) is valid, and sentence (B, d), to logits (B, P)."""
        x = self.fusion(x, sentence, mask)
        layers = marked_layers(self.scales, self.kernel, len(self.convolutions), x.device)
        for convolution, (neighbours, share) in zip(self.convolutions, layers, strict=True):
            x = convolution(x, neighbours).relu() * share
        return self.score(x).squeeze(-1)


@cache
def marked_layers(scales: tuple[int, ...], kernel: int, layers: int, device: torch.device) -> tuple[Layer, ...]:
    """The layers of a `MarkedMap`; the last writes the segments alone."""
    # What is made while nothing learns is to serve while something does.
    with torch.inference_mode(False):
        places = torch.tensor(runs(scales))
        reach, margin = kernel // 2, layers * (kernel // 2)
        size = canvas(scales) + 2 * margin
        valid = torch.zeros(1, 1, size, size)
        valid[0, 0, places[:, 0] + margin, places[:, 1] + margin] = 1
        spread = [valid]
        for _ in range(layers):
            spread.append(F.max_pool2d(spread[-1], kernel, stride=1, padding=reach))
        # A layer's cells are marked, and near enough to a segment for the layers that are left.
        grids = [(marked * near)[0, 0] for marked, near in zip(spread, reversed(spread), strict=True)]
        found = [places, *(grid.nonzero() - margin for grid in grids[1:-1]), places]
        made = []
        for number in range(layers):
            under = F.conv2d(spread[number], torch.ones(1, 1, kernel, kernel), padding=reach)[0, 0]
            written = found[number + 1]
            share = 1 / under[(written + margin).unbind(dim=1)]
            neighbours = Neighbours.of(found[number], written, kernel)
            made.append(Layer(neighbours.to(device), share[:, None].to(device)))
        return tuple(made)


@dataclass(frozen=True, kw_only=True)
class ResampledSettings(MapSettings):
    """Of a network whose frames are N equal parts of every video.

    Attributes:
        samples: S, to which a video is drawn out or drawn together before each frame is the mean of S/N.
        word_layers: Of the LSTM.
    """

    samples: int
    word_layers: int


class ResampledPredictor(MapPredictor, ABC):
    """All frames of a video are its own, and a sentence is the vector of its last word."""

    settings: ResampledSettings

    def frames(self, streams: Streams) -> tuple[Tensor, Tensor]:
        count = canvas(self.settings.scales)
        frames = resampled(streams.video, streams.video_mask, self.settings.samples, count)
        return frames, torch.full((len(frames),), count, device=frames.device)

    def sentence(self, streams: Streams) -> Tensor:
        return ends(streams.query, streams.query_mask)[1]


@dataclass(frozen=True, kw_only=True)
class TAN2DSettings(ResampledSettings):
    """The settings of a `TAN2D`.

    Attributes:
        states: Size of a word's state in the LSTM.
        layers: Convolutions over the map.
        kernel: Cells each way that each of them sees, an odd number.
    """

    states: int
    layers: int
    kernel: int

    def build(self) -> TAN2D:
        require_multiple(self.samples, self.scales)
        return TAN2D(self)


class TAN2D(ResampledPredictor):
    """2D Temporal Adjacent Networks. There is no dropout."""

    settings: TAN2DSettings

    def __init__(self, settings: TAN2DSettings) -> None:
        super().__init__(settings)
        self.map = MarkedMap(settings.hidden, settings.scales, settings.kernel, settings.layers)

    def embedding(self, dim: int, stream: Stream) -> nn.Module:
        settings = self.settings
        if stream == "query":
            return ProjectedWords(dim, settings.states, settings.word_layers, settings.hidden)
        return ClipEmbedding(dim, settings.hidden, stream)

    def sibling(self) -> TAN2D:
        return TAN2D(self.settings)

    def score(self, features: Tensor, sentence: Tensor, segments: Segments, count: Tensor) -> MapOutput:
        logits = self.map(features, sentence, segments.mask)
        return MapOutput.of(logits, segments, count, (segments.every,))
