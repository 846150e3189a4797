"""The fusion H of a sequence with the query (Eq. 11), with either similarity."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from src.models.dropout import Dropout


class Trilinear(nn.Module):
    """S = X·w_c + (Y·w_q)ᵀ + (X ⊙ w_m)·Yᵀ: the similarity in EMB's released code."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.sequence = nn.Linear(dim, 1, bias=False)
        self.query = nn.Linear(dim, 1, bias=False)
        self.product = nn.Parameter(torch.empty(1, dim))
        nn.init.xavier_uniform_(self.product)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """x (B, N, d) and y (B, Q, d) to (B, N, Q)."""
        x, y = self.dropout(x), self.dropout(y)
        return self.sequence(x) + self.query(y).mT + (x * self.product) @ y.mT


class Bilinear(nn.Module):
    """R = FC(X) FC(Y)ᵀ / sqrt(d): the similarity in the paper's Eq. 11."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.sequence = nn.Linear(dim, dim)
        self.query = nn.Linear(dim, dim)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """x (B, N, d) and y (B, Q, d) to (B, N, Q)."""
        x, y = self.dropout(x), self.dropout(y)
        return self.sequence(x) @ self.query(y).mT / math.sqrt(x.shape[-1])


SIMILARITIES = {"bilinear": Bilinear, "trilinear": Trilinear}


class Fusion(nn.Module):
    """H(X, Y) of Eq. 11, followed by the concatenation with the pooled query and by `activation`."""

    def __init__(self, dim: int, similarity: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.similarity = similarity
        self.mix = nn.Linear(4 * dim, dim)
        self.pool = nn.Linear(dim, 1, bias=False)
        self.output = nn.Linear(2 * dim, dim)
        self.activation = activation

    def forward(self, x: Tensor, x_mask: Tensor, y: Tensor, y_mask: Tensor) -> Tensor:
        """x (B, N, d) and y (B, Q, d) with their masks, to (B, N, d)."""
        similarity = self.similarity(x, y)
        over_words = similarity.masked_fill(~y_mask[:, None, :], -torch.inf).softmax(dim=2)
        over_elements = similarity.masked_fill(~x_mask[:, :, None], -torch.inf).softmax(dim=1)
        x_to_y = over_words @ y
        y_to_x = over_words @ (over_elements.mT @ x)
        mixed = self.mix(torch.cat((x, x_to_y, x * x_to_y, x * y_to_x), dim=-1))
        weight = self.pool(y).masked_fill(~y_mask[..., None], -torch.inf).softmax(dim=1)
        sentence = (weight * y).sum(dim=1, keepdim=True)
        return self.activation(self.output(torch.cat((mixed, sentence.expand_as(mixed)), dim=-1)))
