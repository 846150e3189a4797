"""A narrator of the Playroom that is told the script: an upper bound, and no narrator that looks at videos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from src.data.records import Narratives
from src.errors import UserError
from src.narrators.narrator import Failure, Outcome, Reading
from src.playroom.actions import play
from src.playroom.generation import made_by
from src.playroom.language import WHAT, WHO, sentences
from src.playroom.splits import world_of
from src.playroom.world import Event
from src.videos.collection import Item

_NOTHING = "Nothing happens."


class IdealNarrator:
    """Tells at fixed times what is being done, by whom and with what, in the words of the queries.

    It never errs, misses or embellishes: what a model gains from it is the most that any narrator could bring.

    Args:
        name: The narrator's name, as its config has it.
        interval: The seconds between narratives.
        folder: The Playroom's folder, which knows its seed.
    """

    def __init__(self, name: str, interval: float, folder: str) -> None:
        if interval <= 0:
            raise UserError(f"narrator {name}: its interval ({interval}) must be positive")
        self.name = name
        self.interval = interval
        self.folder = Path(folder)

    @property
    def videos(self) -> set[str]:
        return {file.stem for file in (self.folder / "videos").glob("*.mp4")}

    def writer(self, reading: Reading) -> dict[str, Any]:
        return self._writer

    def outcomes(self, items: Iterable[Item], reading: Reading) -> Iterator[Outcome]:
        for video, _ in items:
            if video in self.videos:
                yield self._tell(video)
            else:
                yield Failure(video, f"{self.folder} has no script of {video}")

    def _tell(self, video: str) -> Narratives:
        world = world_of(self._seed, video)
        for _ in play(world):
            pass
        times = [step * self.interval for step in range(1 + int((world.seconds - 1e-6) / self.interval))]
        under_way = [[event for event in world.events if event.start <= time < event.end] for time in times]
        texts = [" ".join(filter(None, map(_said, events))) or _NOTHING for events in under_way]
        return Narratives(video, tuple(times), tuple(texts), self._writer)

    @property
    def _writer(self) -> dict[str, Any]:
        return {"narrator": self.name, "model": "told the script", "interval": self.interval, "seed": self._seed}

    @cached_property
    def _seed(self) -> int:
        return made_by(self.folder)["seed"]


def _said(event: Event) -> str:
    """An event in full, with words that training has where there are such; nothing of what no query can be about."""
    known = sorted(sentences(event, WHO[-1], WHAT[-1]), key=lambda sentence: (len(sentence.novel), sentence.text))
    return known[0].text if known else ""
