"""Convolutions over a grid of which only some places are there: time and memory grow with those, not with the grid."""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from src.models.precision import cast


class Neighbours(NamedTuple):
    """Which of P places lies where under a kernel of k × k over each of P' places.

    Attributes:
        source, target: (E,) long, into the P and into the P': one place of the kernel after the other.
        counts: how many of the E pairs belong to each of the k² places of the kernel, row by row.
        size: P'.
    """

    source: Tensor
    target: Tensor
    counts: tuple[int, ...]
    size: int

    @classmethod
    def of(cls, seen: Tensor, seeing: Tensor, kernel: int) -> Neighbours:
        """Of places by row and column, (P, 2) and (P', 2) long; `kernel` is odd."""
        reach = kernel // 2
        both = torch.cat((seen, seeing))
        least = both.amin(dim=0) - reach
        number = torch.full((both.amax(dim=0) - least + reach + 1).tolist(), -1, device=seen.device)
        number[(seen - least).unbind(dim=1)] = torch.arange(len(seen), device=seen.device)
        found = []
        for offset in product(range(-reach, reach + 1), repeat=2):
            source = number[(seeing - least + torch.tensor(offset, device=seen.device)).unbind(dim=1)]
            target = (source >= 0).nonzero().squeeze(1)
            found.append((source[target], target))
        sources, targets = zip(*found, strict=True)
        return cls(torch.cat(sources), torch.cat(targets), tuple(map(len, sources)), len(seeing))

    def to(self, device: torch.device) -> Neighbours:
        return self._replace(source=self.source.to(device), target=self.target.to(device))

    def pairs(self) -> list[tuple[Tensor, Tensor]]:
        """(source, target) of each place of the kernel."""
        return list(zip(self.source.split(self.counts), self.target.split(self.counts), strict=True))


class CellConvolution(nn.Conv2d):
    """A convolution of `kernel` × `kernel` over the places that there are; the others count as zero."""

    def __init__(self, dim: int, out: int, kernel: int) -> None:
        super().__init__(dim, out, kernel)

    def forward(self, x: Tensor, neighbours: Neighbours) -> Tensor:  # type: ignore[override]
        """x (B, P, d) to (B, P', d')."""
        return convolve(x, self.weight, self.bias, neighbours)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, neighbours: Neighbours) -> Tensor:
    """As `CellConvolution`, with weight (d', d, k, k) and bias (d')."""
    out: Tensor = _Convolution.apply(cast(x).transpose(0, 1).contiguous(), cast(weight), neighbours)
    out = out.transpose(0, 1)
    return out if bias is None else out + bias.to(out.dtype)


class _Convolution(torch.autograd.Function):
    """What is gathered for one place of the kernel is gathered again on the way back, instead of kept for all k².

    So are the matrices of the places, whose numbers lie k² apart in the weight: every product would copy its own.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, neighbours: Neighbours) -> Tensor:
        """x (P, B, d) and weight (d', d, k, k) to (P', B, d')."""
        ctx.save_for_backward(x, weight)
        ctx.neighbours = neighbours
        out = x.new_zeros(neighbours.size, x.shape[1], len(weight))
        for matrix, (source, target) in zip(_by_place(weight), neighbours.pairs(), strict=True):
            out.index_add_(0, target, x[source] @ matrix.T)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        matrices = _by_place(weight)
        of_x, of_matrices = torch.zeros_like(x), torch.empty_like(matrices)
        for matrix, of_matrix, (source, target) in zip(matrices, of_matrices, ctx.neighbours.pairs(), strict=True):
            back = gradient[target]
            of_x.index_add_(0, source, back @ matrix)
            torch.mm(back.flatten(0, 1).T, x[source].flatten(0, 1), out=of_matrix)
        return of_x, of_matrices.flatten(1).T.contiguous().view_as(weight), None


def _by_place(weight: Tensor) -> Tensor:
    """weight (d', d, k, k) as a matrix for each place of the kernel, (k², d', d)."""
    return weight.flatten(2).flatten(0, 1).T.contiguous().unflatten(1, weight.shape[:2])
