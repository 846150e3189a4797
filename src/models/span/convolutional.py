"""VSLNet's encoder of snippets and words: places, convolutions and attention, each normalised before it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from src.models.attention import Attention
from src.models.dropout import Dropout
from src.models.position import LearnedCode


class ConvolutionLayer(nn.Module):
    """x + ReLU(pointwise(depthwise(LN(x)))), over `kernel` neighbours, of which those in padding are zero."""

    def __init__(self, dim: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.depthwise = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim, bias=False)
        self.pointwise = nn.Linear(dim, dim)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, N, d), of which mask (B, N) is valid; gives (B, N, d)."""
        seen = self.depthwise((self.norm(x) * mask[..., None]).mT).mT
        return x + self.dropout(F.relu(self.pointwise(seen)))


class AttentionBlock(nn.Module):
    """r = x + Attention(LN(x)); out = r + FC(LN(r))."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim, eps=1e-6)
        self.attention = Attention(dim, heads, dropout)
        self.output_norm = nn.LayerNorm(dim, eps=1e-6)
        self.output = nn.Linear(dim, dim)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, N, d), of which mask (B, N) is valid; gives (B, N, d)."""
        a = self.dropout(self.attention_norm(x))
        r = x + self.dropout(self.attention(a, a, mask))
        return r + self.dropout(self.output(self.dropout(self.output_norm(r))))


class ConvolutionalEncoder(nn.Module):
    """Four convolutions over a sequence with its learned places, then attention (after QANet's, Yu et al. 2018)."""

    def __init__(self, dim: int, heads: int, dropout: float, places: int) -> None:
        super().__init__()
        self.position = LearnedCode(places, dim)
        self.convolutions = nn.ModuleList(ConvolutionLayer(dim, 7, dropout) for _ in range(4))
        self.attention = AttentionBlock(dim, heads, dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, N, d), of which mask (B, N) is valid; gives (B, N, d)."""
        x = x + self.position(x.shape[1])
        for convolution in self.convolutions:
            x = convolution(x, mask)
        return self.attention(x, mask)
