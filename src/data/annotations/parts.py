"""Splits made out of other splits. Each is itself a reader, divides by video, and does not depend on file order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from src.data.annotations.reading import Annotation, Reader
from src.errors import UserError


def itself(video: str) -> str:
    """The group of a video that shares its footage with no other."""
    return video


@dataclass(frozen=True)
class HeldOut:
    """A share of a split's videos held out for validation, or what then remains to train on.

    Args:
        of: The split to divide.
        part: "val" for the held-out videos, "train" for the others.
        size: The share of the videos held out, in (0, 1).
        seed: The seed of the choice: another seed, another choice of videos.
        group: A video's group; videos of one group are never parted. By default each video is one of its own.
    """

    of: Reader
    part: Literal["train", "val"]
    size: float
    seed: int
    group: Callable[[str], str] = itself

    def __call__(self) -> Iterator[Annotation]:
        annotations = list(self.of())
        if not annotations:
            return iter(())
        groups = _shuffled(annotations, self.group, f"held out/{self.seed}")
        count = round(self.size * len(groups))
        if not 0 < count < len(groups):
            raise UserError(
                f"a validation split of size {self.size:g} takes {count} of {len(groups)} training videos:"
                " give a share between 0 and 1 that leaves some on both sides"
            )
        held_out = set(groups[:count])
        return (each for each in annotations if (self.group(each.moment.video) in held_out) == (self.part == "val"))


@dataclass(frozen=True)
class Fold:
    """One of several equal parts of a split's videos, or all the others.

    Args:
        of: The split to divide.
        part: "test" for the fold's own videos, "rest" for the others.
        fold: The number of the fold, from 0.
        folds: The number of all folds.
        seed: The seed of the division: another seed, another division.
        group: A video's group; videos of one group are never parted. By default each video is one of its own.
    """

    of: Reader
    part: Literal["test", "rest"]
    fold: int
    folds: int
    seed: int
    group: Callable[[str], str] = itself

    def __call__(self) -> Iterator[Annotation]:
        annotations = list(self.of())
        if not annotations:
            return iter(())
        groups = _shuffled(annotations, self.group, f"fold/{self.seed}")
        if not 0 <= self.fold < self.folds or not 2 <= self.folds <= len(groups):
            raise UserError(
                f"fold {self.fold} of {self.folds} does not exist: count folds from 0, and have 2 to {len(groups)}"
            )
        own = set(groups[self.fold :: self.folds])
        return (each for each in annotations if (self.group(each.moment.video) in own) == (self.part == "test"))


@dataclass(frozen=True)
class Without:
    """A split without the videos of others.

    Args:
        of: The split to take from.
        others: The splits whose videos are left out.
    """

    of: Reader
    others: list[Reader]

    def __call__(self) -> Iterator[Annotation]:
        elsewhere = {each.moment.video for other in self.others for each in other()}
        return (each for each in self.of() if each.moment.video not in elsewhere)


@dataclass(frozen=True)
class Among:
    """A split on the videos that another one is about too.

    Args:
        of: The split to take from.
        other: The split whose videos are kept.
    """

    of: Reader
    other: Reader

    def __call__(self) -> Iterator[Annotation]:
        there = {each.moment.video for each in self.other()}
        return (each for each in self.of() if each.moment.video in there)


def _shuffled(annotations: list[Annotation], group: Callable[[str], str], salt: str) -> list[str]:
    """The groups in an order that depends on their names and the salt alone."""
    groups = {group(each.moment.video) for each in annotations}
    return sorted(groups, key=lambda name: hashlib.sha256(f"{salt}/{name}".encode()).digest())
