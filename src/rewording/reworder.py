"""The contract of a reworder: sentences to the same in other words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from src.data.rewordings import Rewordings


class Failure(NamedTuple):
    """A sentence that could not be reworded, and why."""

    query: str
    reason: str


Outcome = Rewordings | Failure


class Reworder(Protocol):
    """Something that has rewordings of sentences. Built from conf/reworder without loading anything."""

    @property
    def writer(self) -> dict[str, Any]:
        """The writer of its records (see `Rewordings`): all that decides what they say, and never a key."""
        ...

    def outcomes(self, queries: Sequence[str]) -> Iterator[Outcome]:
        """What becomes of each sentence, in their order.

        Raises:
            UserError: Nothing at all can be reworded.
        """
        ...
