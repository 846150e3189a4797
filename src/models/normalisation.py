"""Batch normalisation (Ioffe and Szegedy, 2015), also of padded sequences."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BatchNorm(nn.Module):
    """Over batch and places. Of one value a channel, training takes the running statistics, as evaluation does."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_var", torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, dim, ...) to the same shape."""
        learns = self.training and x.numel() > x.shape[1]
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, learns)


class MaskedBatchNorm(BatchNorm):
    """Over the valid elements of a batch; zero elsewhere."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """x (B, N, dim), of which mask (B, N) is valid; gives (B, N, dim)."""
        normal = super().forward(x[mask])
        return normal.new_zeros(x.shape).masked_scatter(mask[..., None], normal)
