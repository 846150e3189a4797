"""Rooms in which figures and things do something, a frame at a time. Knows nothing of pixels, words or files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

FPS = 8
WIDTH, HEIGHT = 128, 96
HORIZON = 64
"""Row of the frame where the floor begins."""

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink")
FIGURES = ("man", "woman", "child")
THINGS = ("ball", "box", "book", "bottle", "cone", "kite")

_LANES = (82.0, 86.0, 90.0)  # rows on which the feet of each figure stand


@dataclass(eq=False)
class Thing:
    """Something that can be carried. `x` is its middle, `base` the row of its lower edge, both in pixels."""

    kind: str
    colour: str
    x: float
    base: float


@dataclass(eq=False)
class Figure:
    """Somebody. `x` is the middle, `base` the row of the feet, in pixels; the other numbers are shares in [0, 1]."""

    kind: str
    colour: str
    x: float
    lane: float
    base: float
    facing: int = 1  # 1 right, −1 left
    present: bool = True
    hidden: bool = False  # behind the screen
    lift: float = 0.0  # pixels above the floor
    bend: float = 0.0
    reach: float = 0.0  # of the arms, forward
    raised: float = 0.0  # of one arm
    spread: float = 0.0  # of both arms
    turn: float = 0.0  # away from the viewer
    stride: float = 0.0
    seated: bool = False
    holding: Thing | None = None
    action: Iterator[None] | None = None
    idle: bool = False  # waits, and may be drawn into what another does

    def rest(self) -> None:
        """Back to standing still."""
        self.lift = self.bend = self.raised = self.spread = self.turn = self.stride = 0.0
        self.reach = 1.0 if self.holding else 0.0
        self.seated = self.hidden = False


@dataclass
class Room:
    """What stays where it is; `door`, `lamp`, `chair` and `screen` are the middles of these, in pixels."""

    door: float
    lamp: float
    chair: float
    screen: float
    wall: tuple[int, int, int]
    floor: tuple[int, int, int]
    opening: float  # of the door, in [0, 1]
    bright: bool  # whether the lamp is on


@dataclass
class Event:
    """Somebody did something, from `start` to `end` seconds; `whole` unless the video ended first."""

    verb: str
    figure: Figure
    start: float
    end: float
    thing: Thing | None = None
    other: Figure | None = None
    whole: bool = False


@dataclass
class World:
    """A room with its figures and things, and what has happened in it so far."""

    chance: Random
    seconds: float
    room: Room
    figures: list[Figure]
    things: list[Thing]
    frame: int = 0
    events: list[Event] = field(default_factory=list)
    taken: set[str | Thing] = field(default_factory=set)  # what somebody is busy with

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return self.frame / FPS

    @contextmanager
    def doing(
        self, verb: str, figure: Figure, thing: Thing | None = None, other: Figure | None = None
    ) -> Iterator[None]:
        """Record what is done inside the block."""
        event = Event(verb, figure, self.now, self.seconds, thing, other)
        self.events.append(event)
        yield
        event.end, event.whole = self.now, True

    @contextmanager
    def taking(self, what: str | Thing) -> Iterator[None]:
        """Keep a thing or a part of the room from others inside the block."""
        self.taken.add(what)
        yield
        self.taken.discard(what)


def new_world(chance: Random) -> World:
    """A room of 20 to 60 seconds with two or three figures and four or five things, as `chance` has it."""
    door, lamp, chair, screen = chance.sample((14.0, 44.0, 84.0, 114.0), 4)
    grey = chance.randint(165, 215)
    dark = chance.randint(110, 150)
    room = Room(
        door,
        lamp,
        chair,
        screen,
        wall=(grey, grey - chance.randint(0, 8), grey - chance.randint(4, 20)),
        floor=(dark, dark - chance.randint(0, 8), dark - chance.randint(4, 16)),
        opening=float(chance.random() < 0.5),
        bright=chance.random() < 0.7,
    )
    looks = chance.sample([(kind, colour) for kind in FIGURES for colour in COLOURS], chance.choice((2, 3, 3)))
    lanes = chance.sample(_LANES, len(looks))
    figures = [
        Figure(kind, colour, chance.uniform(12, 116), lane, lane, present=number == 0 or chance.random() < 0.6)
        for number, ((kind, colour), lane) in enumerate(zip(looks, lanes, strict=True))
    ]
    kinds = chance.sample(THINGS, chance.choice((4, 5)))
    colours = chance.sample(COLOURS, len(kinds))
    spots = chance.sample(range(10, 119, 9), len(kinds))
    things = [
        Thing(kind, colour, float(spot), chance.uniform(84, 92))
        for kind, colour, spot in zip(kinds, colours, spots, strict=True)
    ]
    return World(chance, chance.randint(20 * FPS, 60 * FPS) / FPS, room, figures, things)
