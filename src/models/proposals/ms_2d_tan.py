"""MS-2D-TAN (Zhang et al., TPAMI 2021) as Primitives (Li et al., CVPR 2023) trains it: gated maps at several scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from src.data.similarity import sentence_vectors
from src.errors import UserError
from src.models.dropout import Dropout
from src.models.predictor import Stream, Streams
from src.models.proposals.convolution import CellConvolution, Neighbours, convolve
from src.models.proposals.frames import fitted
from src.models.proposals.maps import ClipEmbedding, Fusion, MapOutput, MapPredictor, MapSettings
from src.models.proposals.segments import Segments, canvas, runs
from src.models.words import WordStates


class GatedBlock(nn.Module):
    """σ(gate) · ReLU(values), two convolutions of the same cells; one gate for all channels."""

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.values = CellConvolution(dim, dim, kernel)
        self.gate = CellConvolution(dim, 1, kernel)

    def forward(self, x: Tensor, neighbours: Neighbours) -> Tensor:
        """x (B, P, d) to (B, P, d)."""
        # In one pass: most of what a gate alone costs is to gather what it reads.
        weight, bias = (torch.cat((getattr(self.values, n), getattr(self.gate, n))) for n in ("weight", "bias"))
        values, gate = convolve(x, weight, bias, neighbours).split((x.shape[-1], 1), dim=-1)
        return gate.sigmoid() * values.relu()


class Grid(NamedTuple):
    """A map: which of the segments its cells are, (K,) long, and what lies beside each for a kernel."""

    cells: Tensor
    neighbours: tuple[Neighbours, ...]


class GatedMap(nn.Module):
    """The map of scale r: a cell starts at a multiple of 2^r frames and has up to A times as many; by start and length.

    Args:
        dim: d.
        scales: of the segments.
        scale: r.
        kernels: Of each block, odd numbers.
        dropout: Before and after the fusion with the query.
    """

    def __init__(self, dim: int, scales: Sequence[int], scale: int, kernels: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.scales = tuple(scales)
        self.scale = scale
        self.kernels = tuple(kernels)
        self.fusion = Fusion(dim, dropout)
        self.blocks = nn.ModuleList(GatedBlock(dim, kernel) for kernel in kernels)
        half, quarter = max(dim // 2, 1), max(dim // 4, 1)
        self.score = nn.Sequential(
            nn.Linear(dim, half), nn.ReLU(), nn.Linear(half, quarter), nn.ReLU(), nn.Linear(quarter, 1)
        )

    def cells(self, device: torch.device) -> Tensor:
        """(K,) which of the segments the cells are."""
        return grid(self.scales, self.scale, self.kernels, device).cells

    def forward(self, x: Tensor, sentence: Tensor, mask: Tensor) -> Tensor:
        """x (B, K, d), of which mask (B, K) is valid, and sentence (B, d), to logits (B, K)."""
        x = self.fusion(x, sentence, mask)
        around = grid(self.scales, self.scale, self.kernels, x.device).neighbours
        for block, neighbours in zip(self.blocks, around, strict=True):
            x = block(x, neighbours).masked_fill(~mask[..., None], 0.0)
        return self.score(x).squeeze(-1)


@cache
def grid(scales: tuple[int, ...], scale: int, kernels: tuple[int, ...], device: torch.device) -> Grid:
    """The map of one of the scales."""
    unit, end = 2**scale, canvas(scales)
    number = {run: place for place, run in enumerate(runs(scales))}
    places = [
        (start, length)
        for start in range(end // unit)
        for length in range(scales[0])
        if (start + length + 1) * unit <= end
    ]
    # What is made while nothing learns is to serve while something does.
    with torch.inference_mode(False):
        cells = [number[start * unit, (start + length + 1) * unit - 1] for start, length in places]
        at = torch.tensor(places)
        around = tuple(Neighbours.of(at, at, kernel).to(device) for kernel in kernels)
        return Grid(torch.tensor(cells, device=device), around)


@dataclass(frozen=True, kw_only=True)
class MS2DTANSettings(MapSettings):
    """The settings of an `MS2DTAN`. Of its `scales`, each after the first has half as many lengths as the first, A.

    Attributes:
        states: Size of a word's state in the LSTM, half of it each way.
        word_layers: Of the LSTM.
        kernels: Of each block of a map: cells each way that it sees, odd numbers.
        dropout: Of the query, and before and after its fusion with the segments.
    """

    states: int
    word_layers: int
    kernels: Sequence[int]
    dropout: float

    def build(self) -> MS2DTAN:
        first, *others = self.scales
        if any(2 * count != first for count in others):
            raise UserError(
                f"predictor.network.scales={list(self.scales)}: every scale after the first has half as many lengths "
                "as the first, such as [16,8,8]"
            )
        return MS2DTAN(self)


class MS2DTAN(MapPredictor):
    """Multi-Scale 2D-TAN: a map for each scale, so that all are small.

    A snippet is a frame; in a video of more than N, N equal parts are.
    """

    settings: MS2DTANSettings

    def __init__(self, settings: MS2DTANSettings) -> None:
        super().__init__(settings)
        dim = settings.hidden
        self.mix = nn.Sequential(
            Dropout(settings.dropout), nn.Linear(settings.states, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU()
        )
        self.scales = nn.ModuleList(
            GatedMap(dim, settings.scales, scale, settings.kernels, settings.dropout)
            for scale in range(len(settings.scales))
        )
        self._initialise()

    def _initialise(self) -> None:
        """As Primitives is released."""
        gates: list[Tensor] = []
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
                _kaiming(module)
            elif isinstance(module, GatedBlock):
                gates.append(module.gate.weight)
        first = self.mix[1]
        assert isinstance(first, nn.Linear)
        for weight in (first.weight, *gates):
            nn.init.xavier_normal_(weight)

    def embedding(self, dim: int, stream: Stream) -> nn.Module:
        settings = self.settings
        if stream != "query":
            clips = ClipEmbedding(dim, settings.hidden, stream)
            _kaiming(clips.linear)
            return clips
        words = WordStates(dim, settings.states // 2, settings.word_layers)
        for parameter in words.parameters():
            nn.init.xavier_normal_(parameter) if parameter.ndim > 1 else nn.init.zeros_(parameter)
        return words

    def sibling(self) -> MS2DTAN:
        return MS2DTAN(self.settings)

    def frames(self, streams: Streams) -> tuple[Tensor, Tensor]:
        return fitted(streams.video, streams.video_mask, canvas(self.settings.scales))

    def sentence(self, streams: Streams) -> Tensor:
        return self.mix(sentence_vectors(streams.query, streams.query_mask))

    def score(self, features: Tensor, sentence: Tensor, segments: Segments, count: Tensor) -> MapOutput:
        maps = tuple(scale.cells(features.device) for scale in self.scales if isinstance(scale, GatedMap))
        logits = [
            scale(features[:, cells], sentence, segments.mask[:, cells])
            for scale, cells in zip(self.scales, maps, strict=True)
        ]
        return MapOutput.of(torch.cat(logits, dim=1), segments, count, maps)


def _kaiming(module: nn.Linear | nn.Conv1d | nn.Conv2d) -> None:
    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    if module.bias is not None:
        nn.init.zeros_(module.bias)
