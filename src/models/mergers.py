"""Mergers: how narratives enter the video features (Eq. 4 and Table 5).

A merger maps embedded snippets (B, L, d) and the narratives aligned with them (B, L, d) to snippets (B, L, d), and may
look at the query (B, Q, d). Its `uses_video` and `uses_narrative` say which of the first two it reads; the other is
then None, and its store is not needed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from src.models.attention import AttentionLayer
from src.models.dropout import Dropout


class Merger(nn.Module, ABC):
    """The contract of a merger. `dim` is d."""

    uses_video: ClassVar[bool] = True
    uses_narrative: ClassVar[bool] = True

    @abstractmethod
    def forward(self, video: Tensor, narrative: Tensor, mask: Tensor, query: Tensor, query_mask: Tensor) -> Tensor:
        """Merge video (B, L, d) and narrative (B, L, d), of which mask (B, L) is valid.

        query (B, Q, d), of which query_mask (B, Q) is valid, is what is asked.
        """


class VideoOnly(Merger):
    """The video as it is: no narratives (Table 5, "Video-only")."""

    uses_narrative = False

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(
        self, video: Tensor, narrative: Tensor | None, mask: Tensor, query: Tensor, query_mask: Tensor
    ) -> Tensor:
        return video


class NarrativeOnly(Merger):
    """The narratives in the video's place: the paragraph branch alone (Eqs. 12 and 13), without a video."""

    uses_video = False

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(
        self, video: Tensor | None, narrative: Tensor, mask: Tensor, query: Tensor, query_mask: Tensor
    ) -> Tensor:
        return narrative


class Add(Merger):
    """Their sum (Table 5, "Add")."""

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, video: Tensor, narrative: Tensor, mask: Tensor, query: Tensor, query_mask: Tensor) -> Tensor:
        return video + narrative


class CrossAttention(Merger):
    """V ← A(V, C): snippets attend to the narratives (Table 5, "Attention")."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = AttentionLayer(dim, heads, dropout)

    def forward(self, video: Tensor, narrative: Tensor, mask: Tensor, query: Tensor, query_mask: Tensor) -> Tensor:
        return self.attention(video, narrative, mask)


class ConcatMLP(Merger):
    """MLP(s ‖ c) for each snippet (Eq. 4; Table 5, "Concat+MLP")."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(2 * dim, dim), nn.ReLU(), Dropout(dropout), nn.Linear(dim, dim))

    def forward(self, video: Tensor, narrative: Tensor, mask: Tensor, query: Tensor, query_mask: Tensor) -> Tensor:
        return self.mlp(torch.cat((video, narrative), dim=-1))
