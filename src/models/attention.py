"""Attention: the masked multi-head core that every network shares, and the attention unit of Eq. 6."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.dropout import Dropout, drop


def attend(
    query: Tensor, key: Tensor, value: Tensor, key_mask: Tensor | None, heads: int, dropout: float = 0.0
) -> Tensor:
    """Multi-head scaled dot-product attention; scores are divided by the root of the query's size per head.

    Args:
        query: (B, N, d_k).
        key: (B, M, d_k).
        value: (B, M, d_v).
        key_mask: (B, M) bool, True where a key may be attended to; at least one in each row. None: all may be.
        heads: divides d_k and d_v.
        dropout: probability with which an attention weight is dropped.

    Returns:
        (B, N, d_v), the heads side by side.
    """
    query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    mask = None if key_mask is None else key_mask[:, None, None, :]
    if dropout and query.device.type == "cpu":
        # The fused kernel has no dropout on a CPU: it would fall back to these lines with a slower draw.
        scores = (query / math.sqrt(query.shape[-1])) @ key.mT
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        attended = drop(scores.softmax(dim=-1), dropout) @ value
    else:
        attended = F.scaled_dot_product_attention(query, key, value, mask, dropout)
    return attended.transpose(1, 2).flatten(2)


class Attention(nn.Module):
    """Multi-head attention with projected inputs and no projection of its output."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)

    def forward(self, x: Tensor, source: Tensor, source_mask: Tensor) -> Tensor:
        """Attend from x (B, N, d) to source (B, M, d), of which source_mask (B, M) is valid; gives (B, N, d)."""
        dropout = self.dropout if self.training else 0.0
        return attend(self.query(x), self.key(source), self.value(source), source_mask, self.heads, dropout)


class AdditiveAttention(nn.Module):
    """Weights softmax(w·tanh(W x + U k)) of elements x, for each key k where there are keys (Bahdanau et al., 2015).

    Args:
        dim: The size of an element.
        size: The inner width.
        key_dim: The size of a key; None without keys.
        bias: Of W and w; that of U, which is all the same, is always there.
    """

    def __init__(self, dim: int, size: int, key_dim: int | None = None, bias: bool = False) -> None:
        super().__init__()
        self.element = nn.Linear(dim, size, bias=bias)
        self.key = nn.Linear(key_dim, size) if key_dim is not None else None
        self.score = nn.Linear(size, 1, bias=bias)

    def forward(self, x: Tensor, mask: Tensor | None = None, keys: Tensor | None = None) -> Tensor:
        """x (B, N, dim), of which mask (B, N) is valid (None: all), and keys (B, M, key_dim): (B, M, N); M is 1 without
        keys."""
        mixed = self.element(x)[:, None]
        if self.key is not None:
            mixed = mixed + self.key(keys)[:, :, None]
        scores = self.score(mixed.tanh()).squeeze(-1)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], -torch.inf)
        return scores.softmax(dim=-1)


class AttentionLayer(nn.Module):
    """The attention unit A(X, Y) of Eq. 6 as the EMB code has it: attention and a feed-forward, each with its residual.

    r = LN(x + Attention(x, source)); out = LN(r + FC(ReLU(FC(r)))).
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(dim, heads, dropout)
        self.feed_forward = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))
        self.attention_norm = nn.LayerNorm(dim, eps=1e-6)
        self.feed_forward_norm = nn.LayerNorm(dim, eps=1e-6)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, source: Tensor, source_mask: Tensor) -> Tensor:
        """x (B, N, d) attends to source (B, M, d), of which source_mask (B, M) is valid; gives (B, N, d)."""
        return self._residual(x, self.attention(x, source, source_mask))

    def _residual(self, x: Tensor, attended: Tensor) -> Tensor:
        r = self.attention_norm(x + self.dropout(attended))
        return self.feed_forward_norm(r + self.dropout(self.feed_forward(r)))
