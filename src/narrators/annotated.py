"""Sentences that people or models wrote about stretches of a video, taken in as narratives."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

from src.data.annotations.reading import Reader
from src.data.records import Moment, Narratives
from src.errors import UserError
from src.narrators.narrator import Failure, Outcome, Reading
from src.videos.collection import Item

_log = logging.getLogger(__name__)


class AnnotatedNarrator:
    """Tells a video by annotated sentences: each is told again at every step of its interval.

    The intervals say when each sentence is true, which a narrator of frames does not know: `parts` takes that away.

    Args:
        name: The narrator's name, as its config has it.
        interval: The seconds between narratives, about: the middles of equal steps of at most so many seconds.
        parts: The equal parts of its video to whose borders an interval is widened; 0 leaves it as it was written.
        sentences: Reads the sentences, as a split of annotations.

    Raises:
        UserError: A setting is out of its range.
    """

    def __init__(self, name: str, interval: float, parts: int, sentences: Reader) -> None:
        if interval <= 0 or parts < 0:
            raise UserError(
                f"narrator {name}: its interval ({interval}) must be positive and parts ({parts}) at least 0"
            )
        self.name = name
        self.interval = interval
        self.parts = parts
        self.sentences = sentences

    @property
    def videos(self) -> set[str]:
        return set(self._told)

    def writer(self, reading: Reading) -> dict[str, Any]:
        return self._writer

    def outcomes(self, items: Iterable[Item], reading: Reading) -> Iterator[Outcome]:
        for video, _ in items:
            yield self._outcome(video)

    def _outcome(self, video: str) -> Outcome:
        if video not in self._told:
            return Failure(video, f"no sentences about {video}")
        told = [(time, moment.query) for moment in self._told[video] for time in self._times(moment)]
        if not told:
            return Failure(video, f"every sentence about {video} has an empty interval")
        told.sort(key=lambda each: each[0])
        times, texts = zip(*told, strict=True)
        return Narratives(video, times, texts, self._writer)

    def _times(self, moment: Moment) -> list[float]:
        """Seconds at which a sentence is told: the middles of steps that lie in its interval, or the nearest one."""
        duration = moment.duration
        start, end = (min(max(time, 0.0), duration) for time in sorted(moment.windows[0]))
        if start == end:
            _log.info("%s: a sentence with an empty interval (%s) is left out", moment.video, moment.query)
            return []
        if self.parts:
            start = math.floor(start / duration * self.parts) / self.parts * duration
            end = math.ceil(end / duration * self.parts) / self.parts * duration
        # Rounded first: 150 s in steps of 2 s are 75, also where the division says 75.00000000000001.
        steps = max(1, math.ceil(round(duration / self.interval, 6)))
        middles = [(step + 0.5) * duration / steps for step in range(steps)]
        inside = [middle for middle in middles if start <= middle < end]
        return inside or [min(middles, key=lambda middle: abs(middle - (start + end) / 2))]

    @property
    def _writer(self) -> dict[str, Any]:
        return {"narrator": self.name, "interval": self.interval, "parts": self.parts, "sentences": "annotated"}

    @cached_property
    def _told(self) -> dict[str, list[Moment]]:
        told: dict[str, list[Moment]] = {}
        for each in self.sentences():
            told.setdefault(each.moment.video, []).append(each.moment)
        return told
