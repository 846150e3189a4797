"""Normalisation of padded sequences."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MaskedBatchNorm(nn.Module):
    """Batch normalisation (Ioffe and Szegedy, 2015) over the valid elements of a batch; zero elsewhere.

    In evaluation it uses the running statistics, and so does training where there is but one element.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_var", torch.ones(dim))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, N, dim), of which mask (B, N) is valid; gives (B, N, dim)."""
        valid = x[mask]
        learns = self.training and len(valid) > 1
        normal = F.batch_norm(valid, self.running_mean, self.running_var, self.weight, self.bias, learns)
        return normal.new_zeros(x.shape).masked_scatter(mask[..., None], normal)
