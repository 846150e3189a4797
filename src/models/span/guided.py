"""Guided attention (Eqs. 7 and A.1): elements see a summary of what lies on either side of them before they attend."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.attention import AttentionLayer
from src.models.dropout import Dropout

Guides = tuple[Tensor, Tensor]
"""What lies to the left and to the right of each element, two (B, N, d)."""


def content_guides(video: Tensor, mask: Tensor) -> Guides:
    """For each snippet the elementwise maximum over the valid snippets before it, and over those after it (Eq. 7).

    Zero where there is none. A running maximum, so O(L·d).

    Args:
        video: (B, L, d).
        mask: (B, L) bool; valid snippets come first.
    """
    hidden = video.masked_fill(~mask[..., None], -torch.inf)
    before = hidden[:, :-1].cummax(dim=1).values
    after = hidden[:, 1:].flip(1).cummax(dim=1).values.flip(1)
    left, right = F.pad(before, (0, 0, 1, 0), value=-torch.inf), F.pad(after, (0, 0, 0, 1), value=-torch.inf)
    return tuple(x.masked_fill(~mask[..., None] | x.isinf(), 0.0) for x in (left, right))  # type: ignore[return-value]


class Guide(nn.Module):
    """g = ReLU(LN(pointwise(depthwise(left, right, x)))): the Conv2D of Eq. 7.

    The depthwise convolution runs over `kernel` neighbours and the three channels (left guide, right guide, x) at once.
    """

    def __init__(self, dim: int, kernel: int, dropout: float) -> None:
        super().__init__()
        # Grouped by feature: each reads its own left guide, right guide and value.
        self.depthwise = nn.Conv1d(3 * dim, dim, kernel, padding=kernel // 2, groups=dim, bias=False)
        self.pointwise = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor, guides: Guides) -> Tensor:
        """x (B, N, d) with its mask (B, N) and its two guides, zero where invalid; gives (B, N, d)."""
        channels = torch.stack((*guides, x * mask[..., None]), dim=-1)
        mixed = self.depthwise(channels.flatten(2).transpose(1, 2)).transpose(1, 2)
        return F.relu(self.norm(self.dropout(self.pointwise(mixed))))


class GuidedAttentionLayer(AttentionLayer):
    """The attention unit with a guided query; the residual is taken from the element itself, not from its guide."""

    def __init__(self, dim: int, heads: int, kernel: int, dropout: float) -> None:
        super().__init__(dim, heads, dropout)
        self.guide = Guide(dim, kernel, dropout)

    def attend_self(self, x: Tensor, mask: Tensor, guides: Guides) -> Tensor:
        """x (B, N, d) attends to itself; its guided form is query, key and value."""
        guided = self.guide(x, mask, guides)
        return self._residual(x, self.attention(guided, guided, mask))

    def attend_cross(self, x: Tensor, mask: Tensor, guides: Guides, source: Tensor, source_mask: Tensor) -> Tensor:
        """x (B, N, d) attends to source (B, M, d), of which source_mask (B, M) is valid."""
        guided = self.guide(x, mask, guides)
        return self._residual(x, self.attention(guided, source, source_mask))
