"""LSTMs over padded sequences, in both directions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from src.models.dropout import Dropout
from src.models.precision import cast


class LSTM(nn.LSTM):
    """torch's, batch first. Under autocast it is left with weights of another precision than its input on a CPU."""

    def __init__(self, dim: int, hidden: int, layers: int = 1) -> None:
        super().__init__(dim, hidden, layers, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """x (B, L, d) to the states (B, L, hidden)."""
        states: Tensor = super().forward(cast(x))[0]
        return states


class BidirectionalLSTM(nn.Module):
    """One LSTM each way over padded sequences, each starting at the sequence's own end.

    Two plain LSTMs, the second over the reversed valid part: on a CPU a packed sequence costs three times as much.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.forwards = LSTM(dim, hidden)
        self.backwards = LSTM(dim, hidden)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, d), of which mask (B, L) is valid, to (B, L, 2·hidden)."""
        position = torch.arange(x.shape[1], device=x.device)
        reverse = ((mask.sum(dim=1, keepdim=True) - 1 - position) % x.shape[1])[..., None]
        right = self.backwards(x.gather(1, reverse.expand_as(x)))
        right = right.gather(1, reverse.expand_as(right))
        return torch.cat((self.forwards(x), right), dim=-1)


class StackedLSTM(nn.Module):
    """Layers of `BidirectionalLSTM`, each over the states of the one before, with dropout between them."""

    def __init__(self, dim: int, hidden: int, layers: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            BidirectionalLSTM(2 * hidden if number else dim, hidden) for number in range(layers)
        )
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, d), of which mask (B, L) is valid, to (B, L, 2·hidden)."""
        for number, layer in enumerate(self.layers):
            x = layer(self.dropout(x) if number else x, mask)
        return x
