"""Convolutions over time in which padding never takes part."""

from __future__ import annotations

from torch import Tensor, nn


class TimeConvolution(nn.Conv1d):
    """A convolution over the elements of a sequence, each with the nearest `kernel`; zeros stand outside."""

    def __init__(self, dim: int, out: int, kernel: int) -> None:
        super().__init__(dim, out, kernel, padding=kernel // 2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """x (B, N, dim), of which mask (B, N) is valid, to (B, N, out)."""
        return super().forward(x.masked_fill(~mask[..., None], 0.0).mT).mT


class TimeHead(nn.ModuleList):
    """Convolutions over time with ReLU between them: d → … → d → `out`."""

    def __init__(self, dim: int, out: int, layers: int, kernel: int) -> None:
        super().__init__(TimeConvolution(dim, dim, kernel) for _ in range(layers - 1))
        self.append(TimeConvolution(dim, out, kernel))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, N, d), of which mask (B, N) is valid, to (B, N, out)."""
        *hidden, last = self
        for convolution in hidden:
            x = convolution(x, mask).relu()
        return last(x, mask)
