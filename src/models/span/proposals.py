"""Proposals: the upper triangle of the 2D map of 2D-TAN (Zhang et al., AAAI 2020) over cells of eight snippets."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

CELL = 8
"""Snippets a cell."""


class Proposals(NamedTuple):
    """The P = N(N + 1)/2 pairs of cells i <= j of N = ceil(L / 8) cells, row by row.

    first, last: (P,) the cells i and j. span: (B, P, 2) long, the first and last snippet, inclusive; zero where
    invalid. mask: (B, P) bool: cell j holds a valid snippet. cells: N.
    """

    first: Tensor
    last: Tensor
    span: Tensor
    mask: Tensor
    cells: int


def cells(video: Tensor, mask: Tensor) -> Tensor:
    """Max-pool snippets (B, L, d) to cells (B, N, d): each the maximum of its valid snippets, zero where none is."""
    hidden = video.masked_fill(~mask[..., None], -torch.inf)
    padded = F.pad(hidden, (0, 0, 0, -video.shape[1] % CELL), value=-torch.inf)
    pooled = padded.unflatten(1, (-1, CELL)).amax(dim=2)
    return pooled.masked_fill(pooled.isinf(), 0.0)


def propose(mask: Tensor) -> Proposals:
    """The proposals of videos whose valid snippets are `mask` (B, L)."""
    length = mask.sum(dim=1, keepdim=True)
    count = -(-mask.shape[1] // CELL)
    first, last = torch.triu_indices(count, count, device=mask.device)
    valid = last * CELL < length
    span = torch.stack((first.expand_as(valid) * CELL, torch.minimum((last + 1) * CELL, length) - 1), dim=-1)
    return Proposals(first, last, span * valid[..., None], valid, count)


def proposal_features(cell: Tensor, proposals: Proposals) -> Tensor:
    """The maximum over cells i…j of each proposal: cells (B, N, d) to (B, P, d), zero where invalid."""
    count = proposals.cells
    below = torch.ones(count, count, dtype=torch.bool, device=cell.device).triu()
    # Row i keeps the cells from i on; the running maximum over j is then the maximum over i…j.
    rows = cell[:, None].masked_fill(~below[None, :, :, None], -torch.inf).cummax(dim=2).values
    return rows[:, proposals.first, proposals.last].masked_fill(~proposals.mask[..., None], 0.0)
