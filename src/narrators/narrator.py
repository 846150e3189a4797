"""The contract of a narrator: videos to narratives (Section 3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from src.data.records import Narratives
from src.errors import UserError
from src.language.model import NoAnswerError
from src.videos.collection import Item
from src.videos.frames import PATIENCE, READERS, Backend


class Failure(NamedTuple):
    """A video that could not be narrated, and why; `of_file` where its file is why, and not the narrator."""

    video: str
    reason: str
    of_file: bool = False


Outcome = Narratives | Failure


@dataclass(frozen=True)
class Reading:
    """How video files are read.

    Attributes:
        reader: The library that decodes: `pyav` or `decord`.
        longest: The most pixels of a frame's longer side; larger frames are scaled down to it.
        ahead: The batches of frames decoded ahead of the narrator.
        patience: The seconds without progress after which a decoder is ended.
        skip_similar: Frames that differ from the last narrated one by at most this (src/videos/similarity.py) are not
            narrated, but take its narrative; None narrates all.
    """

    reader: Backend
    longest: int
    ahead: int
    patience: float = PATIENCE
    skip_similar: float | None = None

    def __post_init__(self) -> None:
        if self.reader not in READERS:
            raise UserError(f"frames.reader is {self.reader!r}: give {' or '.join(READERS)}")
        if self.longest < 1 or self.ahead < 1:
            raise UserError(f"frames.longest={self.longest} and frames.ahead={self.ahead} must be 1 or more")
        if self.skip_similar is not None and not 0 <= self.skip_similar <= 255:
            raise UserError(f"frames.skip_similar={self.skip_similar}: give a number from 0 to 255, or null")
        if self.patience <= 0:
            raise UserError(f"frames.patience={self.patience} must be above 0")


class Narrator(Protocol):
    """Something that has narratives of videos. Built from conf/narrator without loading anything."""

    @property
    def videos(self) -> set[str] | None:
        """Ids of all the videos that it has narratives of without looking at a file; None if it looks at files."""
        ...

    def writer(self, reading: Reading) -> dict[str, Any]:
        """The writer of its records (see `Narratives`): all that decides what they say, and never a key."""
        ...

    def outcomes(self, items: Iterable[Item], reading: Reading) -> Iterator[Outcome]:
        """What becomes of each item, in their order.

        Raises:
            UserError: Nothing at all can be narrated.
        """
        ...


class NarrationError(NoAnswerError):
    """One video cannot be narrated; the message, one line, says why. Others may be."""
