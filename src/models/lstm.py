"""Bidirectional LSTMs over padded sequences, in which padding takes no part."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from src.data.batch import Inputs
from src.models.dropout import Dropout


class BidirectionalLSTM(nn.Module):
    """One LSTM each way over padded sequences, each starting at the sequence's own end.

    Two plain LSTMs, the second over the reversed valid part: on a CPU a packed sequence costs three times as much.
    """

    def __init__(self, dim: int, size: int) -> None:
        super().__init__()
        self.forwards = nn.LSTM(dim, size, batch_first=True)
        self.backwards = nn.LSTM(dim, size, batch_first=True)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, dim), of which mask (B, L) is valid, to (B, L, 2 · size)."""
        position = torch.arange(x.shape[1], device=x.device)
        reverse = ((mask.sum(dim=1, keepdim=True) - 1 - position) % x.shape[1])[..., None]
        backwards = self.backwards(x.gather(1, reverse.expand_as(x)))[0]
        right = backwards.gather(1, reverse.expand_as(backwards))
        return torch.cat((self.forwards(x)[0], right), dim=-1)


class StackedLSTM(nn.Module):
    """Layers of `BidirectionalLSTM`, with dropout between them."""

    def __init__(self, dim: int, size: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(BidirectionalLSTM(2 * size if layer else dim, size) for layer in range(layers))
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, dim), of which mask (B, L) is valid, to (B, L, 2 · size)."""
        first, *others = self.layers
        x = first(x, mask)
        for layer in others:
            x = layer(self.dropout(x), mask)
        return x


class WordStates(StackedLSTM):
    """A predictor's embedding of words: their states among the others of the query."""

    def forward(self, features: Tensor, mask: Tensor, inputs: Inputs) -> Tensor:  # type: ignore[override]
        """features (B, Q, dim), of which mask (B, Q) is valid, to (B, Q, 2 · size)."""
        return super().forward(features, mask)


def ends(states: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The states of the first and of the last word: (B, Q, h), of which mask (B, Q) is valid, to two (B, h)."""
    last = (mask.sum(dim=1) - 1)[:, None, None].expand(-1, -1, states.shape[2])
    return states[:, 0], states.gather(1, last).squeeze(1)


def sentence(states: Tensor, mask: Tensor) -> Tensor:
    """[forward half at the last word; backward half at the first]: (B, Q, h), of which mask (B, Q) is valid, (B, h)."""
    first, last = ends(states, mask)
    half = states.shape[2] // 2
    return torch.cat((last[:, :half], first[:, half:]), dim=-1)
