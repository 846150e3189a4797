"""The decoder of QD-DETR: moment queries are (centre, width) anchors that move (DAB-DETR; Liu et al., ICLR 2022)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from src.models.attention import attend
from src.models.detr.layers import Activation, feed_forward, initialise, logit, mlp
from src.models.dropout import Dropout
from src.models.position import sine_code_at


def anchor_code(anchors: Tensor, dim: int) -> Tensor:
    """Anchors (..., 2) in [0, 1] to the sine codes of 2π·centre and 2π·width, d / 2 numbers each: (..., d)."""
    return sine_code_at(2 * math.pi * anchors, dim // 2).flatten(-2)


class AnchorSelfAttention(nn.Module):
    """Self-attention in which content and position are projected apart; the attention projects its output only."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query_content = nn.Linear(dim, dim)
        self.query_position = nn.Linear(dim, dim)
        self.key_content = nn.Linear(dim, dim)
        self.key_position = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, dim)

    def forward(self, content: Tensor, position: Tensor) -> Tensor:
        """content (B, N, d) at position (B, N, d); gives (B, N, d)."""
        query = self.query_content(content) + self.query_position(position)
        key = self.key_content(content) + self.key_position(position)
        dropout = self.dropout if self.training else 0.0
        return self.output(attend(query, key, self.value(content), None, self.heads, dropout))


class AnchorCrossAttention(nn.Module):
    """Conditional cross-attention: in each head a content part and a position part stand side by side."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query_content = nn.Linear(dim, dim)
        self.query_code = nn.Linear(dim, dim)
        self.key_content = nn.Linear(dim, dim)
        self.key_position = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, dim)

    def forward(
        self, content: Tensor, query_position: Tensor, code: Tensor, memory: Tensor, position: Tensor, mask: Tensor
    ) -> Tensor:
        """Moment queries over the memory.

        Args:
            content, query_position, code: (B, N, d) of the moment queries.
            memory, position: (B, L, d) of the clips, of which mask (B, L) is valid.

        Returns:
            (B, N, d).
        """
        placed = self.key_position(position)
        query, key = self._contents(content, query_position, memory, placed)
        query = self._side_by_side(query, self.query_code(code))
        key = self._side_by_side(key, placed)
        dropout = self.dropout if self.training else 0.0
        return self.output(attend(query, key, self.value(memory), mask, self.heads, dropout))

    def _contents(
        self, content: Tensor, query_position: Tensor, memory: Tensor, placed: Tensor
    ) -> tuple[Tensor, Tensor]:
        return self.query_content(content), self.key_content(memory)

    def _side_by_side(self, content: Tensor, position: Tensor) -> Tensor:
        """Two (B, N, d) to (B, N, 2d), joined head by head."""
        return torch.cat([x.unflatten(-1, (self.heads, -1)) for x in (content, position)], dim=-1).flatten(2)


class FirstCrossAttention(AnchorCrossAttention):
    """That of the first layer: the contents, still empty, are helped by the positions."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__(dim, heads, dropout)
        self.query_position = nn.Linear(dim, dim)

    def _contents(
        self, content: Tensor, query_position: Tensor, memory: Tensor, placed: Tensor
    ) -> tuple[Tensor, Tensor]:
        query, key = super()._contents(content, query_position, memory, placed)
        return query + self.query_position(query_position), key + placed


class AnchorDecoderLayer(nn.Module):
    """Self-attention, cross-attention and a feed-forward, each with its residual and LayerNorm."""

    def __init__(
        self,
        dim: int,
        heads: int,
        width: int,
        activation: Activation,
        dropout: float,
        cross_attention: type[AnchorCrossAttention] = AnchorCrossAttention,
        residual: Callable[[float], nn.Module] = Dropout,
    ) -> None:
        super().__init__()
        self.self_attention = AnchorSelfAttention(dim, heads, dropout)
        self.cross_attention = cross_attention(dim, heads, dropout)
        self.feed_forward = feed_forward(dim, width, activation, dropout)
        self.self_norm = nn.LayerNorm(dim)
        self.cross_norm = nn.LayerNorm(dim)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.dropout = residual(dropout)

    def forward(
        self, content: Tensor, query_position: Tensor, code: Tensor, memory: Tensor, position: Tensor, mask: Tensor
    ) -> Tensor:
        """The same tensors as `AnchorCrossAttention.forward`; gives the next content (B, N, d)."""
        return self.read(self.relate(content, query_position), query_position, code, memory, position, mask)

    def relate(self, content: Tensor, query_position: Tensor) -> Tensor:
        """The content (B, N, d) after the moment queries have looked at each other."""
        return self.self_norm(content + self.dropout(self.self_attention(content, query_position)))

    def read(
        self, content: Tensor, query_position: Tensor, code: Tensor, memory: Tensor, position: Tensor, mask: Tensor
    ) -> Tensor:
        """The content (B, N, d) after they have read the memory."""
        attended = self.cross_attention(content, query_position, code, memory, position, mask)
        content = self.cross_norm(content + self.dropout(attended))
        return self.feed_forward_norm(content + self.dropout(self.feed_forward(content)))


class AnchorDecoder(nn.Module):
    """Anchors read the memory where they lie, and move after each layer."""

    def __init__(
        self,
        dim: int,
        heads: int,
        width: int,
        layers: int,
        activation: Activation,
        dropout: float,
        residual: Callable[[float], nn.Module] = Dropout,
    ) -> None:
        super().__init__()
        kinds = [AnchorCrossAttention if index else FirstCrossAttention for index in range(layers)]
        self.layers = nn.ModuleList(
            AnchorDecoderLayer(dim, heads, width, activation, dropout, kind, residual) for kind in kinds
        )
        self.norm = nn.LayerNorm(dim)
        self.position = mlp(dim, dim, layers=2)
        self.code_scale = mlp(dim, dim, layers=2)
        self.reference_width = mlp(dim, 1, layers=2)
        self.move = mlp(dim, 2, layers=3)
        initialise(self)
        # The anchors do not move until they have learned to.
        for parameter in self.move[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, anchors: Tensor, memory: Tensor, position: Tensor, mask: Tensor, content: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Run every layer.

        Args:
            anchors: (B, N, 2) centre and width in (0, 1).
            memory, position: (B, L, d) of the clips, of which mask (B, L) is valid.
            content: (B, N, d) of the moment queries at first; None: zeros.

        Returns:
            The normalised content after each layer (layers, B, N, d); the anchors that entered each layer, and those
            that left the last (layers + 1, B, N, 2).
        """
        if content is None:
            content = memory.new_zeros(*anchors.shape[:2], memory.shape[-1])
        scale = torch.ones_like(content)
        here = anchors
        contents, places = [], [anchors]
        for layer in self.layers:
            code = self.code(here)
            query_position = self.position(code)
            code = code * scale * self.reference_width(content).sigmoid() / here[..., 1:]
            content = layer(content, query_position, code, memory, position, mask)
            contents.append(self.norm(content))
            scale = self.code_scale(content)
            place, here = self.moved(content, here)
            places.append(place)
        return torch.stack(contents), torch.stack(places)

    def code(self, anchors: Tensor) -> Tensor:
        """Anchors (B, N, 2) as they are read: (B, N, d)."""
        return anchor_code(anchors, self.norm.normalized_shape[0])

    def moved(self, content: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor]:
        """Where the anchors (B, N, 2) go from a layer with content (B, N, d), and where the next layer reads them."""
        place = (self.move(content) + logit(anchors)).sigmoid()
        # The next layer reads where the anchors are; it does not move them to read better.
        return place, place.detach()
