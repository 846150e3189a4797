"""A narrator that needs no network: it says how bright a frame is and which number is spelled on it.

As a program it narrates a folder of videos the way the command does, but starts in a moment:
python -m tests.narrators.colours FOLDER OUTPUT [retry]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from src.narrators.journal import Journal
from src.narrators.narrator import Reading
from src.narrators.pipeline import FrameNarrator
from src.videos.collection import collect
from src.videos.frames import Pixels
from tests.narrators.videos import number_of

READING = Reading("decord", 1344, 2)


class Colours(FrameNarrator):
    """`seconds` is how long a call takes; `silent_about` the number of a frame of which nothing is said."""

    def __init__(self, batch_size: int = 4, under_way: int = 1, seconds: float = 0.0, silent_about: int = -1) -> None:
        super().__init__("colours", 0.5, batch_size, under_way)
        self.seconds = seconds
        self.silent_about = silent_about
        self.calls = 0

    @property
    def identity(self) -> dict[str, Any]:
        return {"model": "colours", "prompt": None}

    def narrate(self, frames: Sequence[Pixels]) -> list[str]:
        self.calls += 1
        time.sleep(self.seconds)
        return [self._caption(frame) for frame in frames]

    def _caption(self, frame: Pixels) -> str:
        number = number_of(frame)
        return " \n" if number == self.silent_about else f" Frame {number},\nbrightness {frame.mean():.3f} – schön. "


def main(folder: Path, output: Path, retry: bool) -> None:
    narrator = Colours(seconds=0.02)
    with Journal(output, narrator.writer(READING), retry) as journal:
        items = [item for item in collect(folder, None) if item.video not in {*journal.done, *journal.failed}]
        print(f"to do: {len(items)}", flush=True)
        for outcome in narrator.outcomes(items, READING):
            journal.append(outcome)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), "retry" in sys.argv)
