"""The span branch (Eqs. 10 and 11): highlight, and start and end scores from conditioned LSTMs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from src.models.recurrent import BidirectionalLSTM


class BoundaryHead(nn.Module):
    """A score for each snippet: FC(ReLU(FC([E; F]))), E the state of an LSTM over the sequence."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.lstm = BidirectionalLSTM(dim, dim)
        self.state = nn.Linear(2 * dim, dim)
        self.score = nn.Sequential(nn.Linear(2 * dim, dim), nn.ReLU(), nn.Linear(dim, 1))

    def forward(self, x: Tensor, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, L, d) to its states (B, L, d) and, with features (B, L, d), to scores (B, L)."""
        state = self.state(self.lstm(x, mask))
        return state, self.score(torch.cat((state, features), dim=-1)).squeeze(-1)


class SpanBranch(nn.Module):
    """Highlight h = σ(FC(F)); start from an LSTM over F ⊙ h; end from a second LSTM over the states of the first."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.highlight = nn.Linear(dim, 1)
        self.start = BoundaryHead(dim)
        self.end = BoundaryHead(dim)

    def forward(self, fused: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """fused (B, L, d), of which mask (B, L) is valid, to highlight, start and end logits, each (B, L)."""
        highlight = self.highlight(fused).squeeze(-1)
        highlighted = fused * highlight.sigmoid()[..., None]
        state, start = self.start(highlighted, highlighted, mask)
        _, end = self.end(state, highlighted, mask)
        return highlight, start, end
