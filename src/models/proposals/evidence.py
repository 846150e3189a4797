"""What similarities tell of a video's snippets and segments, before anything is learned."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from src.data.similarity import standardised
from src.models.proposals.segments import Flank, Segments, extremes, pair_sums

CHANNELS = 9
"""The numbers of a snippet."""

NUMBERS = 19
"""The numbers of a segment."""

_NOVELTY = (1, 3)
"""Snippets on either side between which a border is looked for."""

_FLANK = 4
"""Snippets before and after a segment with which it is compared, at most."""

_BARS = (0.0, 0.5, 1.0)
"""What a segment's standardised similarities have to pass to count for it."""


class Similarities(NamedTuple):
    """Cosine similarities of a batch.

    Attributes:
        query: (B, L), of each snippet with the query.
        reworded: (B, L), with the mean of its rewordings; with the query where there are none.
        pairs: (B, L, L), of each two snippets, zero in padding.
        mask: (B, L) bool, the valid snippets.
    """

    query: Tensor
    reworded: Tensor
    pairs: Tensor
    mask: Tensor


class Evidence(NamedTuple):
    """Channels of snippets (B, L, CHANNELS) and numbers of segments (B, P, NUMBERS), both zero where invalid."""

    channels: Tensor
    numbers: Tensor


def evidence(similarities: Similarities, segments: Segments) -> Evidence:
    """Similarities to numbers of about the same size, so that they can be added up."""
    mask = similarities.mask
    valid = mask.to(similarities.query.dtype)
    query, reworded = standardised(similarities.query, mask), standardised(similarities.reworded, mask)
    both = standardised(query + reworded, mask)
    table = pair_sums(similarities.pairs)
    borders = [border for reach in _NOVELTY for border in _borders(table, mask, reach)]
    raw = (3 * similarities.query, 3 * similarities.reworded)
    channels = torch.stack((query, reworded, both, *raw, *borders), dim=-1) * valid[..., None]
    numbers = (*_place(segments, mask), *_coherence(segments, table, mask), *_peaks(segments, both, query, mask))
    return Evidence(channels, torch.stack(numbers, dim=-1).masked_fill(~segments.mask[..., None], 0.0))


def _borders(table: Tensor, mask: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """How new each snippet is after those before it, and how new what follows it is: two (B, L)."""
    count = mask.shape[1]
    here = torch.arange(count, device=mask.device)
    before = Flank((here - reach).clamp(min=0), here)
    after = Flank(here, (here + reach).clamp(max=count))
    novelty = 2 * (1 - before.likeness(after, table, mask)) * mask
    novelty = torch.cat((torch.zeros_like(novelty[:, :1]), novelty[:, 1:]), dim=1)
    return novelty, torch.cat((novelty[:, 1:], torch.zeros_like(novelty[:, :1])), dim=1)


def _place(segments: Segments, mask: Tensor) -> list[Tensor]:
    """Where in its video each segment lies, and how long it is: six (B, P)."""
    count = mask.sum(dim=1, keepdim=True)
    length = segments.length.to(torch.get_default_dtype())
    lengths = (length.log() / 2).expand(len(mask), -1)
    touches = ((segments.first == 0).expand_as(segments.mask), segments.last + 1 == count)
    shares = [x / count for x in (segments.length, segments.first, segments.last + 1)]
    return [lengths, *shares, *(touch.to(length.dtype) for touch in touches)]


def _coherence(segments: Segments, table: Tensor, mask: Tensor) -> list[Tensor]:
    """How alike the snippets of each segment are to each other, to those before and to those after: three (B, P)."""
    inside, length = segments.inside(), segments.length.to(table.dtype)
    # Each snippet is like itself, which says nothing.
    among = (inside.likeness(inside, table, mask) * length.square() - length) / (length * (length - 1)).clamp(min=1)
    flanks = (segments.before(_FLANK), segments.after(_FLANK))
    return [2 * x for x in (among, *(inside.likeness(flank, table, mask) for flank in flanks))]


def _peaks(segments: Segments, both: Tensor, query: Tensor, mask: Tensor) -> list[Tensor]:
    """Extremes of the similarities in each segment, and their sums above each bar, also beside the video's highest."""
    peaks = [*extremes(both, segments), *extremes(query, segments)]
    for bar in _BARS:
        gain = segments.inside().sums((both - bar) * mask)
        best = gain.masked_fill(~segments.mask, -torch.inf).amax(dim=1, keepdim=True).clamp(min=1)
        peaks += [gain / 10, gain / best]
    return peaks
