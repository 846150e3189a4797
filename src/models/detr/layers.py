"""The transformer pieces that the DETR predictors are made of. Post-norm throughout; masks are True where valid."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.attention import attend
from src.models.dropout import Dropout

Activation = Callable[[], nn.Module]


class MultiheadAttention(nn.Module):
    """Attention with projected inputs and output (Vaswani et al. 2017), initialised as torch's."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.inputs = nn.Linear(dim, 3 * dim)
        self.output = nn.Linear(dim, dim)
        nn.init.zeros_(self.inputs.bias)
        nn.init.zeros_(self.output.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, key_mask: Tensor | None) -> Tensor:
        """query (B, N, d) over key and value (B, M, d), of which key_mask (B, M) is valid (None: all); (B, N, d)."""
        weights, biases = self.inputs.weight.chunk(3), self.inputs.bias.chunk(3)
        query, key, value = map(F.linear, (query, key, value), weights, biases)
        dropout = self.dropout if self.training else 0.0
        return self.output(attend(query, key, value, key_mask, self.heads, dropout))


def feed_forward(dim: int, width: int, activation: Activation, dropout: float) -> nn.Sequential:
    """Linear → activation → dropout → Linear, `width` numbers in between."""
    return nn.Sequential(nn.Linear(dim, width), activation(), Dropout(dropout), nn.Linear(width, dim))


def mlp(dim: int, out: int, layers: int, width: int | None = None) -> nn.Sequential:
    """`layers` Linear layers, d → `width` → … → `out`, ReLU between them; `width` is d unless it is given."""
    sizes = [dim, *[width or dim] * (layers - 1)]
    hidden = [part for size, after in itertools.pairwise(sizes) for part in (nn.Linear(size, after), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(sizes[-1], out))


def logit(x: Tensor, eps: float = 1e-3) -> Tensor:
    """The inverse of the sigmoid, finite on all of [0, 1]: log(max(x, eps) / max(1 − x, eps))."""
    return torch.log(x.clamp(min=eps) / (1 - x).clamp(min=eps))


def initialise(*networks: nn.Module) -> None:
    """Xavier-uniform weights for every matrix of networks; vectors keep what they have."""
    for network in networks:
        for parameter in network.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)


def prepend(token: Tensor, sequence: Tensor) -> Tensor:
    """One vector, (d,) for all or (B, d) one for each, before every sequence (B, N, d): (B, 1 + N, d)."""
    return torch.cat((token.expand(len(sequence), -1)[:, None], sequence), dim=1)


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward, each with its residual and LayerNorm."""

    def __init__(
        self,
        dim: int,
        heads: int,
        width: int,
        activation: Activation,
        dropout: float,
        residual: Callable[[float], nn.Module] = Dropout,
    ) -> None:
        super().__init__()
        self.attention = MultiheadAttention(dim, heads, dropout)
        self.feed_forward = feed_forward(dim, width, activation, dropout)
        self.attention_norm = nn.LayerNorm(dim)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.dropout = residual(dropout)

    def forward(self, x: Tensor, position: Tensor, mask: Tensor) -> Tensor:
        """x (B, N, d) at position (B, N, d), of which mask (B, N) is valid; gives (B, N, d)."""
        placed = x + position
        x = self.attention_norm(x + self.dropout(self.attention(placed, placed, x, mask)))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))


class TextToVideoLayer(EncoderLayer):
    """QD-DETR's cross-attention from clips to words. Its second residual starts before the first LayerNorm."""

    def forward(  # type: ignore[override]
        self, x: Tensor, position: Tensor, words: Tensor, words_mask: Tensor, words_position: Tensor | None = None
    ) -> Tensor:
        """x (B, L, d) at position (B, L, d) attends to words (B, Q, d), of which words_mask (B, Q) is valid.

        The words are at words_position (B, Q, d); None: nowhere. Clips and words may change their parts.
        """
        keys = words if words_position is None else words + words_position
        return self.after(x, self.attention(x + position, keys, words, words_mask))

    def after(self, x: Tensor, attended: Tensor) -> Tensor:
        """What becomes of x (B, L, d) with what it attended to (B, L, d): both residuals."""
        attended = x + self.dropout(attended)
        return self.feed_forward_norm(attended + self.dropout(self.feed_forward(self.attention_norm(attended))))


class DecoderLayer(nn.Module):
    """Self-attention among the moment queries, cross-attention to the memory, a feed-forward (Carion et al. 2020)."""

    def __init__(self, dim: int, heads: int, width: int, activation: Activation, dropout: float) -> None:
        super().__init__()
        self.self_attention = MultiheadAttention(dim, heads, dropout)
        self.cross_attention = MultiheadAttention(dim, heads, dropout)
        self.feed_forward = feed_forward(dim, width, activation, dropout)
        self.self_norm = nn.LayerNorm(dim)
        self.cross_norm = nn.LayerNorm(dim)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.dropout = Dropout(dropout)

    def forward(
        self, content: Tensor, query_position: Tensor, memory: Tensor, position: Tensor, memory_mask: Tensor
    ) -> Tensor:
        """content (B, N, d) of the moment queries over memory (B, M, d) at position (B, M, d); gives (B, N, d)."""
        placed = content + query_position
        content = self.self_norm(content + self.dropout(self.self_attention(placed, placed, content, None)))
        attended = self.cross_attention(content + query_position, memory + position, memory, memory_mask)
        content = self.cross_norm(content + self.dropout(attended))
        return self.feed_forward_norm(content + self.dropout(self.feed_forward(content)))


class Decoder(nn.Module):
    """Layers that refine the moment queries, and one LayerNorm that each layer's result goes through."""

    def __init__(self, dim: int, heads: int, width: int, layers: int, activation: Activation, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(dim, heads, width, activation, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        initialise(self)

    def forward(self, queries: Tensor, memory: Tensor, position: Tensor, memory_mask: Tensor) -> Tensor:
        """queries (B, N, d) over memory (B, M, d) at position (B, M, d); gives (layers, B, N, d)."""
        content = torch.zeros_like(queries)
        contents = []
        for layer in self.layers:
            content = layer(content, queries, memory, position, memory_mask)
            contents.append(self.norm(content))
        return torch.stack(contents)


def mean_of(x: Tensor, mask: Tensor) -> Tensor:
    """The mean (B, d) of those of x (B, N, d) that mask (B, N) says; 0 where it says none."""
    kept = torch.where(mask[..., None], x, 0.0)
    return kept.sum(dim=1) / mask.sum(dim=1).clamp(min=1)[:, None]
