"""Fixed position codes."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sine_code(length: int, dim: int, device: torch.device | None = None) -> Tensor:
    """The sine (even channels) and cosine (odd channels) code of Vaswani et al. 2017, base 10000: (length, dim)."""
    position = torch.arange(length, device=device)[:, None]
    frequency = torch.exp(torch.arange(0, dim, 2, device=device) * (-math.log(10000.0) / dim))
    angle = position * frequency
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)[:, :dim]
