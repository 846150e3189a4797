"""Captions that exist already, taken in as narratives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from src.data.caption_formats import read_captions
from src.data.records import Narratives
from src.errors import UserError
from src.narrators.narrator import Failure, Outcome, Reading
from src.videos.collection import Item


class ImportedNarrator:
    """Reads captions where others look at frames.

    Args:
        name: The narrator's name, as its config has it.
        interval: The seconds between narratives; of captions that are numbered by clip, the length of a clip.
        captions: A folder, .zip, .json or .csv of captions (see `src.data.caption_formats`).

    Raises:
        UserError: The interval is not positive.
    """

    def __init__(self, name: str, interval: float, captions: str) -> None:
        if interval <= 0:
            raise UserError(f"narrator {name}: its interval ({interval}) must be positive")
        self.name = name
        self.interval = interval
        self.captions = Path(captions)

    @property
    def videos(self) -> set[str]:
        return set(self._narratives)

    def writer(self, reading: Reading) -> dict[str, Any]:
        return self._writer

    def outcomes(self, items: Iterable[Item], reading: Reading) -> Iterator[Outcome]:
        for video, _ in items:
            yield self._narratives.get(video) or Failure(video, f"no captions of {video} in {self.captions}")

    @property
    def _writer(self) -> dict[str, Any]:
        return {"narrator": self.name, "imported": self.captions.name}

    @cached_property
    def _narratives(self) -> dict[str, Narratives]:
        return {one.video: one for one in read_captions(self.captions, self.interval, self._writer)}
