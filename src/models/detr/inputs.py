"""How features enter a DETR: normalised, placed in time, and projected."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from src.data.batch import Inputs
from src.models.dropout import Dropout


def normalise(features: Tensor, streams: Sequence[int] | None = None) -> Tensor:
    """Vectors (..., D) at length one; zeros stay zeros. With `streams`, sizes that sum to D, each stream by itself."""
    parts = features.split(list(streams) if streams is not None else features.shape[-1], dim=-1)
    scaled = [part / (torch.linalg.vector_norm(part, dim=-1, keepdim=True) + 1e-5) for part in parts]
    return torch.cat(scaled, dim=-1)


def endpoints(mask: Tensor) -> Tensor:
    """Where each clip starts and ends, as a share of its own video: mask (B, L) to (B, L, 2) in [0, 1], padding 0."""
    start = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
    share = torch.stack((start, start + 1), dim=-1) / mask.sum(dim=1)[:, None, None]
    return share * mask[..., None]


def placed(features: Tensor, mask: Tensor, streams: Sequence[int] | None = None) -> Tensor:
    """Clip features (B, L, D), normalised, with each clip's start and end beside them: (B, L, D + 2)."""
    return torch.cat((normalise(features, streams), endpoints(mask)), dim=-1)


def projection(dim: int, hidden: int, dropout: float) -> nn.Sequential:
    """Two blocks of LayerNorm → dropout → Linear, with a ReLU between them."""
    return nn.Sequential(
        nn.LayerNorm(dim),
        Dropout(dropout),
        nn.Linear(dim, hidden),
        nn.ReLU(),
        nn.LayerNorm(hidden),
        Dropout(dropout),
        nn.Linear(hidden, hidden),
    )


class WordEmbedding(nn.Module):
    """Token features, normalised and projected."""

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.projection = projection(dim, hidden, dropout)

    def forward(self, features: Tensor, mask: Tensor, inputs: Inputs) -> Tensor:
        """features (B, Q, D) to (B, Q, d)."""
        return self.projection(normalise(features))


class ClipEmbedding(nn.Module):
    """Clip features, each of their streams normalised, with the clip's start and end beside them, and projected."""

    def __init__(self, dim: int, hidden: int, dropout: float, streams: Sequence[int] | None) -> None:
        super().__init__()
        self.streams = streams
        self.projection = projection(dim + 2, hidden, dropout)

    def forward(self, features: Tensor, mask: Tensor, inputs: Inputs) -> Tensor:
        """features (B, L, D), of which mask (B, L) is valid, to (B, L, d)."""
        return self.projection(placed(features, mask, self.streams))
