"""Saliency: how much each clip answers the query, and the pairs of clips that the margin loss compares."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from src.data.batch import GroundTruth, Inputs
from src.data.records import Moment

_EXCERPT = re.compile(r"_[0-9.]+_[0-9.]+$")
"""How the name of an excerpt ends: with its start and end in the source video (QVHighlights)."""


def sources(moments: Sequence[Moment]) -> list[str]:
    """The source video of each moment: its video, or what that is an excerpt of."""
    return [_EXCERPT.sub("", moment.video) for moment in moments]


def saliency_labels(inputs: Inputs, truth: GroundTruth) -> Tensor:
    """A label for each clip, (B, L), 0 where irrelevant and in padding.

    Where annotators scored the clips (QVHighlights), the sum of their three scores, 0 to 12. Elsewhere 1
    for a clip whose middle lies inside a window, and for the clip that holds the window's middle; 0 for the rest.
    """
    seconds = (inputs.duration / inputs.length)[:, None]
    clip = torch.arange(inputs.snippet_mask.shape[1], device=seconds.device)
    middle = ((clip + 0.5) * seconds)[:, :, None]
    start, end = truth.windows.float()[:, None].unbind(-1)
    holder = ((start + end) / 2 / seconds[..., None]).floor()
    inside = ((start <= middle) & (middle < end)) | (clip[:, None] == holder)
    labels = inside.any(dim=2).to(seconds.dtype) * inputs.snippet_mask

    # Scored samples, all at once: each score goes to the clip in which its own clip's middle lies.
    scored = [
        (row, (clip + 0.5) * moment.clip_seconds, sum(scores))
        for row, moment in enumerate(truth.moments)
        for clip, scores in zip(moment.relevant_clips, moment.saliency, strict=True)
    ]
    if scored:
        row, middle, score = torch.tensor(scored, device=seconds.device).unbind(dim=1)
        row = row.long()
        place = (middle / seconds[row, 0]).long().minimum(inputs.length[row] - 1)
        labels[row] = 0
        labels.view(-1).scatter_reduce_(0, row * labels.shape[1] + place, score.to(labels.dtype), "amax")
    return labels


def first_window(inputs: Inputs, truth: GroundTruth) -> Tensor:
    """The clips (B, L) of the first annotated window, its ends rounded to whole clips."""
    clips = (truth.windows[:, 0].float() * (inputs.length / inputs.duration)[:, None]).round()
    clip = torch.arange(inputs.snippet_mask.shape[1], device=clips.device)
    return (clips[:, :1] <= clip) & (clip < clips[:, 1:]) & inputs.snippet_mask


def draw_pairs(labels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Two pairs of clips for each sample, the first of each pair the more relevant.

    One pair is a relevant clip and an irrelevant one, drawn at random. So is the other, unless the relevant clips
    differ in label: then it is the highest of them against the lowest. Where no clip is irrelevant, or none relevant,
    a random pair is one clip twice.

    Args:
        labels: (B, L), > 0 where relevant.
        mask: (B, L).

    Returns:
        positive and negative clip indices, each (B, 2).
    """
    relevant = labels > 0
    irrelevant = mask & ~relevant
    comparable = relevant.any(dim=1, keepdim=True) & irrelevant.any(dim=1, keepdim=True)
    positive = torch.multinomial(torch.where(comparable, relevant, mask).float(), 2, replacement=True)
    negative = torch.multinomial(torch.where(comparable, irrelevant, mask).float(), 2, replacement=True)
    negative = torch.where(comparable, negative, positive)

    highest, top = labels.max(dim=1)
    lowest, bottom = labels.masked_fill(~relevant, torch.inf).min(dim=1)
    graded = relevant.any(dim=1) & (highest > lowest)
    positive[:, 0] = torch.where(graded, top, positive[:, 0])
    negative[:, 0] = torch.where(graded, bottom, negative[:, 0])
    return positive, negative
