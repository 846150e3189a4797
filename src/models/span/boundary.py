"""The span branch (Eqs. 10 and 11): highlight, and start and end scores from conditioned LSTMs."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BidirectionalLSTM(nn.Module):
    """One LSTM each way over padded sequences, each starting at the sequence's own end.

    Two plain LSTMs, the second over the reversed valid part: on a CPU a packed sequence costs three times as much.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.forwards = nn.LSTM(dim, dim, batch_first=True)
        self.backwards = nn.LSTM(dim, dim, batch_first=True)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, d), of which mask (B, L) is valid, to (B, L, 2d)."""
        position = torch.arange(x.shape[1], device=x.device)
        reverse = (mask.sum(dim=1, keepdim=True) - 1 - position) % x.shape[1]
        reverse = reverse[..., None].expand_as(x)
        right = self.backwards(x.gather(1, reverse))[0].gather(1, reverse)
        return torch.cat((self.forwards(x)[0], right), dim=-1)


class BoundaryHead(nn.Module):
    """A score for each snippet: FC(ReLU(FC([E; F]))), E the state of an LSTM over the sequence."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.lstm = BidirectionalLSTM(dim)
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
