"""What a segment is made of: one chain over all lengths, each made of the one before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def links(scales: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(kernel, stride) of each link of the chain over the segments of `Segments.sparse`.

    Two neighbours of one length make one of the next; where starts become rarer, three.
    """
    for scale, count in enumerate(scales):
        for number in range(count):
            yield (2, 1) if number else (3, 2) if scale else (1, 1)


class Maxima(nn.Module):
    """The maximum of a segment's frames."""

    def __init__(self, scales: Sequence[int]) -> None:
        super().__init__()
        self.links = tuple(links(scales))

    def forward(self, frames: Tensor) -> Tensor:
        """frames (B, N, d) to the segments of `Segments.sparse`, (B, P, d)."""
        x, lengths = frames.mT, []
        for kernel, stride in self.links:
            x = F.max_pool1d(x, kernel, stride)
            lengths.append(x)
        return torch.cat(lengths, dim=2).mT


class Convolved(nn.Module):
    """A chain of convolutions with weights of its own at each length, nothing between them."""

    def __init__(self, dim: int, scales: Sequence[int]) -> None:
        super().__init__()
        self.links = nn.ModuleList(nn.Conv1d(dim, dim, kernel, stride) for kernel, stride in links(scales))

    def forward(self, frames: Tensor) -> Tensor:
        """As `Maxima.forward`."""
        x, lengths = frames.mT, []
        for link in self.links:
            x = link(x)
            lengths.append(x)
        return torch.cat(lengths, dim=2).mT
