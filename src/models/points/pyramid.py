"""Levels of coarser and coarser cells over the clips of a video, and the points in time that they stand for."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

# How far a point may lie from a window's middle to answer for it, in its own strides.
_RADIUS = 1.5


class Points(NamedTuple):
    """The K cells of a pyramid, level after level, times in clips.

    Attributes:
        time: (K,) where a cell starts.
        stride: (K,) how many clips it covers.
        low, high: (K,) between which the longer of its distances to start and end lies if it answers for a window.
        mask: (B, K) the cells of each video, all of whose clips are there.
    """

    time: Tensor
    stride: Tensor
    low: Tensor
    high: Tensor
    mask: Tensor

    @classmethod
    def of(cls, mask: Tensor, levels: int) -> Points:
        """Of videos of which mask (B, L) is valid, with strides 1, 2, 4 …; a level that has no cell is left out."""
        parts = []
        for level in range(levels):
            stride, count = 2**level, mask.shape[1] >> level
            time = stride * torch.arange(count, device=mask.device)
            low = stride if level else 0
            high = 2 * stride if level + 1 < levels else math.inf
            ranges = (torch.full_like(time, value, dtype=torch.float) for value in (stride, low, high))
            parts.append((time, *ranges, mask[:, stride - 1 :: stride][:, :count]))
        time, stride, low, high, inside = zip(*parts, strict=True)
        return cls(
            torch.cat(time).float(), torch.cat(stride), torch.cat(low), torch.cat(high), torch.cat(inside, dim=1)
        )

    def answers(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Which cells answer for a window, and how far away its edges are.

        A cell answers for a window whose middle it is near, that it lies in, and whose farther edge is in its range;
        for the shortest of several.

        Args:
            windows: (B, W, 2) in clips; NaN rows are none.

        Returns:
            (B, K) bool, and distances (B, K, 2) to start and end in strides, anything where a cell answers for none.
        """
        start, end = windows[:, None].unbind(-1)
        time, stride = self.time[:, None].to(windows.dtype), self.stride[:, None].to(windows.dtype)
        middle = (start + end) / 2
        near = (time >= torch.maximum(middle - _RADIUS * stride, start)) & (
            time <= torch.minimum(middle + _RADIUS * stride, end)
        )
        farther = torch.maximum(time - start, end - time)
        fits = near & (farther >= self.low[:, None]) & (farther <= self.high[:, None]) & self.mask[..., None]
        shortest = torch.where(fits, end - start, torch.inf).argmin(dim=2, keepdim=True)
        distances = torch.stack((time - start, end - time), dim=-1) / stride[..., None]
        chosen = distances.gather(2, shortest[..., None].expand(-1, -1, -1, 2)).squeeze(2)
        return fits.any(dim=2), chosen.to(self.time.dtype)


class Pyramid(nn.ModuleList):
    """Each level is made of the clips by weights of its own: level i halves them i times."""

    def __init__(self, dim: int, levels: int) -> None:
        super().__init__(nn.Sequential(*(Halving(dim) for _ in range(level))) for level in range(levels))

    def forward(self, clips: Tensor) -> list[Tensor]:
        """clips (B, L, d) to (B, ⌊L / stride⌋, d) for each level that has a cell."""
        return [level(clips) for level in self if clips.shape[1] >= 2 ** len(level)]  # type: ignore[arg-type]


class Halving(nn.Module):
    """Two neighbours to one: a convolution, LayerNorm, ReLU. What is left over at the end is dropped."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(dim, dim, 2, stride=2)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, N, d) to (B, ⌊N / 2⌋, d)."""
        return self.norm(self.convolution(x.mT).mT).relu()
