"""The words of a query by their states among the others, and a sentence made of them."""

from __future__ import annotations

import torch
from torch import Tensor

from src.data.batch import Inputs
from src.models.recurrent import StackedLSTM


class WordStates(StackedLSTM):
    """A predictor's embedding of words: their states in LSTMs over the query."""

    def forward(self, features: Tensor, mask: Tensor, inputs: Inputs | None = None) -> Tensor:
        """features (B, Q, dim), of which mask (B, Q) is valid, to (B, Q, 2·hidden)."""
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
