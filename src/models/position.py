"""Codes of positions, fixed and learned."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def sine_code(length: int, dim: int, device: torch.device | None = None) -> Tensor:
    """The code of the positions 0, 1, …, length − 1: (length, dim)."""
    return sine_code_at(torch.arange(length, device=device), dim)


def sine_code_at(position: Tensor, dim: int) -> Tensor:
    """The sine (even channels) and cosine (odd channels) code of Vaswani et al. 2017, base 10000.

    Positions are real numbers, (...); gives (..., dim).
    """
    frequency = torch.exp(torch.arange(0, dim, 2, device=position.device) * (-math.log(10000.0) / dim))
    angle = position[..., None] * frequency
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(-2)[..., :dim]


def clip_code(mask: Tensor, dim: int) -> Tensor:
    """The code of each clip's place in its own video, of which the last lies at 2π: mask (B, L) to (B, L, dim)."""
    count = mask.cumsum(dim=1)
    return sine_code_at(2 * math.pi * count / (count[:, -1:] + 1e-6), dim)


class LearnedCode(nn.Module):
    """A learned vector (dim,) for each of the positions 0, 1, …, places − 1; those further on have the last one's."""

    def __init__(self, places: int, dim: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(places, dim))

    def forward(self, length: int) -> Tensor:
        """The codes of the positions 0, 1, …, length − 1: (length, dim)."""
        places = torch.arange(length, device=self.table.device).clamp(max=len(self.table) - 1)
        return self.table[places]
