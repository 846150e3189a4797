"""Every segment of a video, and what running sums tell of all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Segments(NamedTuple):
    """P runs of snippets first <= last of videos of at most L snippets: all L(L + 1)/2 of them, or a sparse set.

    first, last: (P,) long, both inclusive. mask: (B, P) bool: the segment lies in its video.
    """

    first: Tensor
    last: Tensor
    mask: Tensor

    @classmethod
    def of(cls, snippets: Tensor) -> Segments:
        """All of videos whose valid snippets are `snippets` (B, L), row by row."""
        count = snippets.shape[1]
        first, last = torch.triu_indices(count, count, device=snippets.device)
        return cls(first, last, last < snippets.sum(dim=1, keepdim=True))

    @classmethod
    def sparse(cls, scales: Sequence[int], count: Tensor) -> Segments:
        """2D-TAN's set of videos of `count` (B,) snippets, at most `canvas(scales)`: by length, then by start.

        Scale r holds scales[r] lengths in steps of 2^r, going on where the scale before ended, at starts that 2^r
        divides: long segments are told apart less finely than short ones.
        """
        first, last = torch.tensor(runs(scales), device=count.device).unbind(dim=1)
        return cls(first, last, last < count[:, None])

    @property
    def span(self) -> Tensor:
        """(P, 2) the first and the last snippet."""
        return torch.stack((self.first, self.last), dim=-1)

    @property
    def length(self) -> Tensor:
        """(P,) in snippets."""
        return self.last - self.first + 1

    @property
    def every(self) -> Tensor:
        """(P,) the number of each."""
        return torch.arange(len(self.first), device=self.first.device)

    def before(self, most: int) -> Flank:
        """The snippets before each segment: as many as it has, `most` at most, fewer where the video begins."""
        return Flank((self.first - self.length.clamp(max=most)).clamp(min=0), self.first)

    def after(self, most: int) -> Flank:
        """As `before`, of the snippets after each."""
        return Flank(self.last + 1, (self.last + 1 + self.length.clamp(max=most)).clamp(max=int(self.last[-1]) + 1))

    def inside(self) -> Flank:
        """The segments themselves."""
        return Flank(self.first, self.last + 1)


def runs(scales: Sequence[int]) -> list[tuple[int, int]]:
    """The first and last snippet of each segment of `Segments.sparse`."""
    end, length, found = canvas(scales), 0, []
    for scale, count in enumerate(scales):
        for _ in range(count):
            length += 2**scale
            found += [(start, start + length - 1) for start in range(0, end - length + 1, 2**scale)]
    return found


def canvas(scales: Sequence[int]) -> int:
    """The longest segment of `Segments.sparse`, which is as long as a video can be: N."""
    return sum(count * 2**scale for scale, count in enumerate(scales))


class Flank(NamedTuple):
    """A run of snippets for each segment, half-open: `start`, `stop` (P,) long."""

    start: Tensor
    stop: Tensor

    def sums(self, x: Tensor) -> Tensor:
        """The sum over each run of x (B, L, ...), zero in padding: (B, P, ...)."""
        sums = running_sum(x)
        return sums[:, self.stop] - sums[:, self.start]

    def means(self, x: Tensor, mask: Tensor) -> Tensor:
        """The mean over each run's valid snippets of x (B, L, d), zero in padding; zero where a run has none."""
        count = self.sums(mask.to(x.dtype)).clamp(min=1)
        return self.sums(x) / count[..., None]

    def likeness(self, other: Flank, table: Tensor, mask: Tensor) -> Tensor:
        """The mean of pairs (B, L, L) with one snippet in each run and one in the other's: (B, P).

        Args:
            other: The other runs, of the same segments.
            table: What `pair_sums` made of the pairs.
            mask: (B, L) bool, the valid snippets.
        """
        total = (
            table[:, self.stop, other.stop]
            - table[:, self.start, other.stop]
            - table[:, self.stop, other.start]
            + table[:, self.start, other.start]
        )
        valid = mask.to(table.dtype)
        return total / (self.sums(valid) * other.sums(valid)).clamp(min=1)


def running_sum(x: Tensor) -> Tensor:
    """Sums over the snippets before each place: x (B, L, ...) to (B, L + 1, ...)."""
    return torch.cat((torch.zeros_like(x[:, :1]), x), dim=1).cumsum(dim=1)


def pair_sums(pairs: Tensor) -> Tensor:
    """Sums over pairs before each place in both: (B, L, L), zero in padding, to (B, L + 1, L + 1)."""
    return F.pad(pairs, (1, 0, 1, 0)).cumsum(dim=1).cumsum(dim=2)


def extremes(x: Tensor, segments: Segments) -> tuple[Tensor, Tensor]:
    """The largest and the smallest of x (B, L) in each segment, two (B, P)."""
    count = x.shape[1]
    outside = torch.ones(count, count, dtype=torch.bool, device=x.device).tril(-1)
    rows = x[:, None].expand(-1, count, -1)
    largest = rows.masked_fill(outside, -torch.inf).cummax(dim=2).values
    smallest = rows.masked_fill(outside, torch.inf).cummin(dim=2).values
    return largest[:, segments.first, segments.last], smallest[:, segments.first, segments.last]


def coverage(weight: Tensor, segments: Segments, count: int) -> Tensor:
    """The weight (B, P) of the segments that each of `count` snippets lies in: (B, L)."""
    change = weight.new_zeros(len(weight), count + 1)
    change = change.index_add(1, segments.first, weight).index_add(1, segments.last + 1, -weight)
    return change.cumsum(dim=1)[:, :-1]
