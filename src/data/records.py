"""The two records that everything else is made of: an annotated moment, and the narratives of a video."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Window = tuple[float, float]

LONGEST = 1e9
"""Seconds that no video lasts, thirty years: what is beyond is no time, and past what single precision reckons with."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One query about one video, and where its answer is.

    Attributes:
        query_id: unique within a split, stable between runs.
        video: the video's id, as the feature and narrative stores know it.
        query: the sentence, stripped, never empty.
        windows: the annotated (start, end) pairs in seconds, 0 <= start < end <= duration. One for most data sets,
            several for QVHighlights. In a test split, where none is left out and some are scored as annotated
            (`src.data.splits.load_split`), a window may have no length or reach past the end. None at all in a test
            split whose answers are not public.
        duration: The video's length in seconds, > 0.
        novel: on the novel splits of Charades-CG and ActivityNet-CG, (kind, text) pairs: ("NOUN", "soup") for a novel
            word, ("v-n", "take fridge") for a novel composition.
        saliency: QVHighlights only: for each clip of `relevant_clips`, three annotators' scores, 0 (low) to 4 (high).
        relevant_clips: QVHighlights only: indices of the clips that the annotators found relevant.
        clip_seconds: QVHighlights only: the length of such a clip.
    """

    query_id: str
    video: str
    query: str
    windows: tuple[Window, ...]
    duration: float
    novel: tuple[tuple[str, str], ...] = ()
    saliency: tuple[tuple[float, float, float], ...] = ()
    relevant_clips: tuple[int, ...] = ()
    clip_seconds: float = 2.0


def clip_count(duration: float, clip_seconds: float) -> int:
    """How many whole clips a video has, both in seconds; as QVHighlights is scored, a rest of a clip is none."""
    return int(duration / clip_seconds)


@dataclass(frozen=True, slots=True)
class Narratives:
    """The structured paragraph of a video (Eq. 2): what a narrator said, and when.

    Attributes:
        video: the video's id.
        times: seconds, ascending, >= 0.
        texts: one narrative for each time, none empty.
        writer: who wrote them: `narrator` (its config name), `model`, `prompt`, and its settings.
        repeated: the times whose narrative is the one before it, as their frame showed what the one before showed.
    """

    video: str
    times: tuple[float, ...]
    texts: tuple[str, ...]
    writer: dict[str, Any] = field(default_factory=dict)
    repeated: tuple[float, ...] = ()
