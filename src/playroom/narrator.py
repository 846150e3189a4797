"""A stand-in for a multimodal language model that needs no weights: it sees a frame of the Playroom and describes it.

It is given pixels alone, and says more than queries ask: every figure and thing that it sees, what figures do with body
and hands, the door and the light, in words that often are not those of the queries.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from random import Random
from typing import Any

from src.narrators.pipeline import FrameNarrator
from src.playroom.sight import Figure, Thing, View, look
from src.videos.frames import Pixels

_WHO = {
    "man": ("man", "gentleman", "guy", "male figure"),
    "woman": ("woman", "lady", "female figure", "girl in a dress"),
    "child": ("child", "kid", "small child", "little boy"),
}
_WHAT = {
    "ball": ("ball", "sphere", "round ball"),
    "box": ("box", "crate", "cube"),
    "book": ("book", "flat book", "notebook"),
    "bottle": ("bottle", "flask", "tall bottle"),
    "cone": ("cone", "triangular cone", "cone"),
    "kite": ("kite", "diamond-shaped kite", "kite"),
}
_COLOURS = {
    "red": ("red", "crimson", "bright red"),
    "orange": ("orange", "bright orange"),
    "yellow": ("yellow", "golden", "bright yellow"),
    "green": ("green", "emerald green"),
    "blue": ("blue", "royal blue"),
    "purple": ("purple", "violet"),
    "pink": ("pink", "magenta"),
}
_DOES = {
    "airborne": ("is jumping in the air", "leaps off the ground", "is in mid-air, hopping"),
    "seated": ("is sitting on a chair", "is seated, resting on the chair"),
    "bent": ("bends down over {what}", "leans over, reaching for {what} on the floor", "stoops to grab {what}"),
    "waving": ("is waving with one arm raised", "raises a hand above the head"),
    "spread": ("stretches both arms out, spinning around", "twirls with arms spread wide"),
    "holding": ("is holding {what}", "carries {what} in both hands", "is lifting {what}"),
    "pushing": ("is pushing {what} along the floor", "shoves {what} with outstretched arms"),
    "turned": ("stands turned to the side", "is seen from the side"),
    "standing": ("is standing", "stands still", "is walking"),
}
_BESIDE = ("next to {what}", "near {what}", "beside {what}")
_DOORWAY = ("in the open doorway", "at the entrance of the room")
_BRIGHT = ("the lamp is on", "the room is bright")
_DIM = ("the lamp is off", "the room is dark")
_OPEN = ("The door is open", "There is an open doorway")
_CLOSED = ("The door is closed", "The door is shut")


class PlayroomNarrator(FrameNarrator):
    """Describes frames of the Playroom by what it sees in them (`src.playroom.sight`).

    Args:
        name: The narrator's name, as its config has it.
        interval: The seconds between narratives: m of Section 3.2.
        batch_size: The frames seen at a time.
    """

    def __init__(self, name: str, interval: float, batch_size: int) -> None:
        super().__init__(name, interval, batch_size, under_way=1)

    @property
    def identity(self) -> dict[str, Any]:
        return {"model": "stand-in without weights: colours and shapes", "version": 1}

    def narrate(self, frames: Sequence[Pixels]) -> list[str]:
        return [describe(look(frame)) for frame in frames]


def describe(view: View) -> str:
    """What is seen, as sentences. The same facts are always said in the same words."""
    said = [_somebody(figure) for figure in view.figures] or ["Nobody is to be seen in the room."]
    chance = Random(len(view.figures) + 2 * view.bright)
    scene = f"{chance.choice(_OPEN if view.doorway else _CLOSED)}, {chance.choice(_BRIGHT if view.bright else _DIM)}"
    touched = {figure.touches for figure in view.figures}
    # Of what nobody is near, it speaks of one thing: captions leave out much of the background.
    other = next((thing for thing in view.things if thing not in touched), None)
    said.append(f"{scene}, and {_name(other)} is on the floor." if other is not None else f"{scene}.")
    return " ".join(said)


def _somebody(figure: Figure) -> str:
    chance = _chance(figure.kind, figure.patch.colour, figure.pose)
    who = f"{_article(chance.choice(_WHO[figure.kind]))} in {chance.choice(_COLOURS[figure.patch.colour])}"
    what = "something" if figure.touches is None else _name(figure.touches)
    does = chance.choice(_DOES[figure.pose])
    if figure.in_doorway:
        where = " " + chance.choice(_DOORWAY)
    elif figure.touches is not None and "{what}" not in does:
        where = " " + chance.choice(_BESIDE)
    else:
        where = ""
    return _sentence(f"{who} {does}{where}".format(what=what))


def _name(thing: Thing) -> str:
    chance = _chance(thing.kind, thing.patch.colour)
    return _article(f"{chance.choice(_COLOURS[thing.patch.colour])} {chance.choice(_WHAT[thing.kind])}")


def _chance(*facts: str) -> Random:
    return Random(zlib.crc32(" ".join(facts).encode()))


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."
