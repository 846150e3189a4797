"""The span branch (Eqs. 10 and 11): highlight, and start and end scores, the end's made of the start's states."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from src.models.recurrent import LSTM, BidirectionalLSTM
from src.models.span.convolutional import ConvolutionalEncoder


class BoundaryHead(nn.Module, ABC):
    """A score for each snippet: FC(ReLU(FC([E; F]))), E its state in the sequence, F its features."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(2 * dim, dim), nn.ReLU(), nn.Linear(dim, 1))

    @abstractmethod
    def states(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, L, d), of which mask (B, L) is valid, to what the next head's sequence is, and E; both (B, L, d)."""

    def forward(self, x: Tensor, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, L, d) to the next head's sequence (B, L, d) and, with features (B, L, d), to scores (B, L)."""
        following, state = self.states(x, mask)
        return following, self.score(torch.cat((state, features), dim=-1)).squeeze(-1)


class BidirectionalHead(BoundaryHead):
    """EMB's: E = FC(an LSTM each way)."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.lstm = BidirectionalLSTM(dim, dim)
        self.state = nn.Linear(2 * dim, dim)

    def states(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        state = self.state(self.lstm(x, mask))
        return state, state


class ForwardHead(BoundaryHead):
    """VSLNet's: E is an LSTM's state, which has seen what comes before."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.lstm = LSTM(dim, dim)

    def states(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        state = self.lstm(x)
        return state, state


class EncoderHead(BoundaryHead):
    """VSLNet's other: E is the LayerNorm of what an encoder, which both heads share, makes of the sequence."""

    def __init__(self, dim: int, encoder: ConvolutionalEncoder) -> None:
        super().__init__(dim)
        self.encoder = encoder
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def states(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        encoded = self.encoder(x, mask)
        return encoded, self.norm(encoded)


class SpanBranch(nn.Module):
    """Highlight h = σ(FC(F)); start from F ⊙ h; end from the sequence that the start's head leaves."""

    def __init__(self, dim: int, start: BoundaryHead, end: BoundaryHead) -> None:
        super().__init__()
        self.highlight = nn.Linear(dim, 1)
        self.start = start
        self.end = end

    def forward(self, fused: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """fused (B, L, d), of which mask (B, L) is valid, to highlight, start and end logits, each (B, L)."""
        highlight = self.highlight(fused).squeeze(-1)
        highlighted = fused * highlight.sigmoid()[..., None]
        sequence, start = self.start(highlighted, highlighted, mask)
        _, end = self.end(sequence, highlighted, mask)
        return highlight, start, end
