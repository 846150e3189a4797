"""Dropout that draws four elements of its mask with one random number on the CPU: drawing is a quarter of a step."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LEVELS = 1 << 16
"""Each element is kept or dropped by 16 random bits: the probability is met to within 1/65536."""


def drop(x: Tensor, probability: float) -> Tensor:
    """Zero each element with `probability`, in [0, 1), and scale the others so that the mean stays. For training."""
    if probability == 0:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, probability)
    bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)[: x.numel()]
    dropped = round(probability * _LEVELS)
    keep = (bits >= dropped - _LEVELS // 2).view(x.shape)
    return x * keep.to(x.dtype).mul_(_LEVELS / (_LEVELS - dropped))


class Dropout(nn.Module):
    """`drop` in training, the identity otherwise."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        return drop(x, self.probability) if self.training else x


class StochasticDepth(Dropout):
    """Drops the whole branch (B, …) of a sample with `probability` in training, and scales the others (Huang et al.
    2016)."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return x
        return x * drop(x.new_ones(len(x)), self.probability).view(-1, *[1] * (x.dim() - 1))
