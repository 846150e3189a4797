"""Attentive encoding of snippets and words (Eqs. 7 to 9)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from src.models.attention import AttentionLayer
from src.models.span.guided import GuidedAttentionLayer, content_guides


class VideoStates(NamedTuple):
    """Snippets (B, L, d): as they entered, after self-attention, after attending to the query, and encoded."""

    entered: Tensor
    explored: Tensor
    attended: Tensor
    encoded: Tensor


class QueryStates(NamedTuple):
    """Words (B, Q, d) after self-attention, and encoded."""

    explored: Tensor
    encoded: Tensor


class Encoder(nn.Module):
    """Each side attends to itself, to the other, and to itself again. Comments give the published prefixes.

    `kernel` is that of the snippets' guides.
    """

    def __init__(self, dim: int, heads: int, dropout: float, kernel: int) -> None:
        super().__init__()
        self.explore = GuidedAttentionLayer(dim, heads, kernel, dropout)  # f2f
        self.explore_query = AttentionLayer(dim, heads, dropout)  # w2w
        self.attend = GuidedAttentionLayer(dim, heads, kernel, dropout)  # f2w
        self.attend_query = AttentionLayer(dim, heads, dropout)  # w2f
        self.context = GuidedAttentionLayer(dim, heads, kernel, dropout)  # v2v
        self.query_context = AttentionLayer(dim, heads, dropout)  # vq2q

    def forward(self, v0: Tensor, mask: Tensor, q0: Tensor, query_mask: Tensor) -> tuple[VideoStates, QueryStates]:
        """Encode snippets v0 (B, L, d) and words q0 (B, Q, d) with their masks."""
        v1 = self.explore.attend_self(v0, mask, content_guides(v0, mask))
        q1 = self.explore_query(q0, q0, query_mask)
        v2 = self.attend.attend_cross(v1, mask, content_guides(v1, mask), q1, query_mask)
        q2 = self.attend_query(q1, v1, mask)
        v3 = self.context.attend_self(v2, mask, content_guides(v2, mask))
        q3 = self.query_context(q2, q2, query_mask)
        return VideoStates(v0, v1, v2, v3), QueryStates(q1, q3)
