"""The networks of proposal maps as a textbook has them: grids of all cells, masked where no segment is."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.proposals import dcm
from src.models.proposals.convolution import CellConvolution
from src.models.proposals.dcm import DCM, DCMOutput, Intervention
from src.models.proposals.maps import unit
from src.models.proposals.ms_2d_tan import GatedBlock, GatedMap
from src.models.proposals.segments import Segments, canvas, runs
from src.models.proposals.tan_2d import MarkedMap


class Grid(NamedTuple):
    """Where the P cells that there are lie on a grid of rows × columns."""

    row: Tensor
    column: Tensor
    rows: int
    columns: int

    def spread(self, x: Tensor) -> Tensor:
        """x (B, P, d) as a list of all cells, zero where there is none: (B, rows · columns, d)."""
        every = x.new_zeros(len(x), self.rows * self.columns, x.shape[2])
        return every.index_copy(1, self.row * self.columns + self.column, x)

    def mask(self, mask: Tensor) -> Tensor:
        """mask (B, P) bool as one of all cells, (B, rows · columns)."""
        return self.spread(mask[..., None].float()).squeeze(2).bool()

    def image(self, x: Tensor) -> Tensor:
        """A list of all cells (B, rows · columns, d) as (B, d, rows, columns)."""
        return x.mT.unflatten(2, (self.rows, self.columns)).contiguous()

    def gathered(self, x: Tensor) -> Tensor:
        """Of a list of all cells (B, rows · columns, ...), those that there are: (B, P, ...)."""
        return x[:, self.row * self.columns + self.column]


def by_ends(scales: Sequence[int]) -> Grid:
    """By first and last frame: N × N."""
    row, column = torch.tensor(runs(scales)).unbind(dim=1)
    return Grid(row, column, canvas(scales), canvas(scales))


def by_length(scales: Sequence[int], scale: int) -> Grid:
    """By start and length in units of 2^scale frames."""
    starts, lengths = canvas(scales) // 2**scale, scales[0]
    row, column = torch.cartesian_prod(torch.arange(starts), torch.arange(lengths)).unbind(dim=1)
    inside = row + column < starts
    return Grid(row[inside], column[inside], starts, lengths)


def convolved(module: nn.Module, x: Tensor, padding: int | None = None) -> Tensor:
    """torch's convolution by a module's weights, between zeros: `padding` of them, or as many as keep the size."""
    assert isinstance(module, CellConvolution)
    reach = module.kernel_size[0] // 2
    return F.conv2d(x, module.weight, module.bias, padding=reach if padding is None else padding)


def marked(module: MarkedMap, x: Tensor, sentence: Tensor, mask: Tensor) -> Tensor:
    """`MarkedMap.forward`: the grid grows by what all layers reach, and shrinks to its own size."""
    grid = by_ends(module.scales)
    valid = grid.mask(mask)
    x = grid.image(module.fusion(grid.spread(x), sentence, valid))
    under = grid.image(valid[..., None].float())
    ones = torch.ones(1, 1, module.kernel, module.kernel)
    padding = len(module.convolutions) * (module.kernel // 2)
    for convolution in module.convolutions:
        under = F.conv2d((under > 0).float(), ones, padding=padding)
        share = torch.where(under > 0, 1 / under, 0.0)
        x = share * convolved(convolution, x, padding).relu()
        padding = 0
    return grid.gathered(module.score(x.flatten(2).mT)).squeeze(2)


def gated(module: GatedMap, x: Tensor, sentence: Tensor, mask: Tensor) -> Tensor:
    """`GatedMap.forward` with two convolutions for values and gate."""
    grid = by_length(module.scales, module.scale)
    valid = grid.mask(mask)
    x = grid.image(module.fusion(grid.spread(x), sentence, valid))
    for block in module.blocks:
        assert isinstance(block, GatedBlock)
        gate, values = convolved(block.gate, x), convolved(block.values, x)
        x = gate.sigmoid() * values.relu() * grid.image(valid[..., None])
    return grid.gathered(module.score(x.flatten(2).mT)).squeeze(2)


def intervened(module: Intervention, content: Tensor, location: Tensor, sentence: Tensor, valid: Tensor) -> Tensor:
    """`Intervention.forward` on all cells, of which valid (B, N²) may be attended to."""
    asking = module.of_query(sentence.relu())[:, None] + module.of_content(content.relu())
    value = module.value(location).relu()
    parts = (module.query(asking), module.key(location), value)
    query, key, values = (each.unflatten(2, (module.heads, -1)).transpose(1, 2) for each in parts)
    scores = (query @ key.mT / math.sqrt(query.shape[-1])).masked_fill(~valid[:, None, None], -torch.inf)
    weights = F.dropout(scores.softmax(dim=-1), module.dropout, module.training)
    return (weights @ values).transpose(1, 2).flatten(2) + module.own * value


def disentangled(module: DCM, features: Tensor, sentence: Tensor, segments: Segments, count: Tensor) -> DCMOutput:
    """`DCM.score`."""
    grid = by_ends(module.settings.scales)
    valid = grid.mask(segments.mask)
    features = grid.spread(features)
    content = module.content(features) * valid[..., None]
    location = module.location(features).tanh() * valid[..., None]
    told = content + intervened(module.intervention, content, location, sentence, valid)
    fused = unit(module.asked(sentence)[:, None] * told) * valid[..., None]
    x = grid.image(fused)
    for convolution in module.convolutions:
        x = convolved(convolution, x).relu() * grid.image(valid[..., None])
    every = module.weight(x.flatten(2).mT + module.residual(fused).relu())
    both = ((grid.gathered(content), grid.gathered(location)),)
    logits = grid.gathered(every).squeeze(2)
    return DCMOutput.of(logits, segments, count, (segments.every,), disentangled=both)


def distance_correlation(one: Tensor, other: Tensor) -> Tensor:
    """`dcm.distance_correlation` of the centred matrices."""
    first, second = (_centred(dcm.distances(each, each)) for each in (one, other))
    both, own, others = ((a * b).mean() for a, b in ((first, second), (first, first), (second, second)))
    return (both.sqrt() / (own.sqrt() * others.sqrt() + 1e-9).sqrt()).float()


def _centred(x: Tensor) -> Tensor:
    return x - x.mean(dim=0) - x.mean(dim=1, keepdim=True) + x.mean()


@contextlib.contextmanager
def dense() -> Iterator[None]:
    with (
        mock.patch.object(MarkedMap, "forward", marked),
        mock.patch.object(GatedMap, "forward", gated),
        mock.patch.object(DCM, "score", disentangled),
        mock.patch.object(dcm, "distance_correlation", distance_correlation),
    ):
        yield
