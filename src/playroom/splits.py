"""Which videos and queries are in which split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from src.playroom.actions import play
from src.playroom.language import NOVEL_PAIRS, WHAT, WHO, Naming, Sentence, sentences
from src.playroom.world import Event, World, new_world

SPLITS = ("train", "val", "test_iid", "test_ood", "novel_composition", "novel_word")

OOD = (0.5, 0.75)
"""Moments whose middle lies in this part of their video are in test_ood, and in no other split."""

_QUERIES = 6  # of a video, at most
_SHORTEST = 2.0  # seconds of a moment that is asked for


@dataclass(frozen=True)
class Query:
    """A sentence and its moment in seconds. `novel` and `pairs`: what is novel in it, in the terms of Charades-CG."""

    text: str
    start: float
    end: float
    novel: tuple[tuple[str, str], ...]
    pairs: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Video:
    """One video of a split. `name` decides, with the seed, all that happens in it."""

    name: str
    split: str
    duration: float
    queries: tuple[Query, ...]


def world_of(seed: int, name: str) -> World:
    """The world of a video, at its first frame."""
    return new_world(Random(f"playroom/{seed}/{name}"))


def make_video(seed: int, split: str, number: int) -> Video:
    """The `number`-th video of a split. Worlds in which there is nothing to ask for this split are passed over."""
    attempt = 0
    while True:
        name = f"{split}_{number:04d}" + (f"_{attempt}" if attempt else "")
        world = world_of(seed, name)
        for _ in play(world):
            pass
        queries = ask(world, split, Random(f"queries/{seed}/{name}"))
        if queries:
            return Video(name, split, world.seconds, queries)
        attempt += 1


def ask(world: World, split: str, chance: Random) -> tuple[Query, ...]:
    """Queries of a video that belong in a split: for some of its events, a sentence that is true of no other."""
    events = [event for event in world.events if event.whole and event.end - event.start >= _SHORTEST]
    chance.shuffle(events)
    queries = []
    for event in events:
        middle = (event.start + event.end) / 2 / world.seconds
        if (OOD[0] <= middle < OOD[1]) != (split == "test_ood"):
            continue
        said = [sentence for sentence in _unique(event, world.events) if _belongs(sentence, split)]
        if said:
            choice = chance.choice(said)
            start, end = round(event.start, 2), round(event.end, 2)
            pairs = tuple(sorted(choice.pairs & NOVEL_PAIRS))
            queries.append(Query(choice.text, start, end, choice.novel, pairs))
    return tuple(sorted(queries[:_QUERIES], key=lambda query: (query.start, query.text)))


def _belongs(sentence: Sentence, split: str) -> bool:
    composed = bool(sentence.pairs & NOVEL_PAIRS)
    if split == "novel_word":
        return bool(sentence.novel) and not composed
    return not sentence.novel and composed == (split == "novel_composition")


def _unique(event: Event, events: Sequence[Event]) -> list[Sentence]:
    """All sentences about an event that are true of no other, in any terms that single it out."""
    found = []
    for who in WHO:
        for what in WHAT:
            if not any(_alike(event, other, who, what) for other in events if other is not event):
                found += sentences(event, who, what)
    return sorted(set(found), key=lambda sentence: sentence.text)


def _alike(event: Event, other: Event, who: Naming, what: Naming) -> bool:
    target, other_target = event.thing or event.other, other.thing or other.other
    return event.verb == other.verb and who.agrees(event.figure, other.figure) and what.agrees(target, other_target)
