"""A collection split over machines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from src.errors import UserError
from src.videos.collection import Item


class Shard(NamedTuple):
    """One of `of` parts of a collection, counted from 0."""

    number: int
    of: int

    def items(self, items: Sequence[Item]) -> list[Item]:
        """The videos of this part: every `of`-th, in the order of their ids."""
        return list(items[self.number :: self.of])

    def file(self, output: Path) -> Path:
        """The narratives file of this part, beside that of the whole."""
        return output.with_name(f"{output.stem}.{self.number}-of-{self.of}{output.suffix}")


def parse_shard(shard: str | int, shards: int | None) -> Shard:
    """The part that `shard` names: "i/n", or i with n in `shards`.

    Raises:
        UserError: It is neither, or not 0 <= i < n.
    """
    number, _, of = str(shard).partition("/")
    if not of and shards is not None:
        of = str(shards)
    if not (number.isdecimal() and of.isdecimal() and int(number) < int(of)):
        raise UserError(f"shard={shard} shards={shards}: give shard=i/n, or shard=i shards=n, with i from 0 to n - 1")
    return Shard(int(number), int(of))
