"""The contract of a ranker: windows in which the answer may be, to moments with the probability that they are it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from src.retrieval.index import Candidate, Question, Told

# Of two moments of a video that overlap more than this, the less probable is left out.
_OVERLAP = 0.5


class Found(NamedTuple):
    """A moment in seconds, and the calibrated probability that it is the one that is asked for."""

    video: str
    start: float
    end: float
    probability: float


class Source(Protocol):
    """The videos that candidates are of."""

    def file(self, video: str) -> Path | None:
        """Its file, if that is here."""
        ...

    def told(self, video: str) -> Told | None:
        """Its narratives, if it has not been removed since."""
        ...


class Ranker(Protocol):
    """Built from conf/model."""

    @property
    def candidates(self) -> int:
        """How many windows of a collection it looks at."""
        ...

    def __call__(self, question: Question, candidates: Sequence[Candidate], source: Source) -> list[Found]:
        """The moments in the windows, in any order; several of a window, and some may overlap.

        Args:
            question: The sentence.
            candidates: The windows.
            source: For rankers that look at more than similarities.
        """
        ...


def best(found: Sequence[Found], most: int) -> list[Found]:
    """The most probable moments, none of which overlaps a better one of its video by an IoU above 0.5."""
    kept: dict[str, list[Found]] = {}
    ranked: list[Found] = []
    for one in sorted(found, key=lambda each: (-each.probability, each.video, each.start, each.end)):
        others = kept.setdefault(one.video, [])
        if len(ranked) < most and all(_iou(one, other) <= _OVERLAP for other in others):
            others.append(one)
            ranked.append(one)
    return ranked


def _iou(one: Found, other: Found) -> float:
    overlap = max(min(one.end, other.end) - max(one.start, other.start), 0.0)
    union = (one.end - one.start) + (other.end - other.start) - overlap
    return overlap / union if union > 0 else float(one.start == other.start)
