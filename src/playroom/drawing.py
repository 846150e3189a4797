"""A world as pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from src.playroom.world import HEIGHT, HORIZON, WIDTH, Figure, Thing, World

PAINT = {
    "red": (214, 32, 32),
    "orange": (240, 128, 16),
    "yellow": (236, 220, 32),
    "green": (36, 168, 52),
    "blue": (36, 72, 220),
    "purple": (136, 40, 176),
    "pink": (248, 92, 180),
}
SKIN = (226, 178, 146)

_TROUSERS = (44, 44, 52)
_SIZES = {"man": (5, 11, 17, 11), "woman": (5, 16, 17, 9), "child": (4, 11, 11, 6)}  # head, body width, height, legs
_DIMMED = [round(value * 0.5) for value in range(256)] * 3

Colour = tuple[int, int, int]


def draw(world: World) -> NDArray[np.uint8]:
    """(HEIGHT, WIDTH, 3), RGB."""
    image = Image.new("RGB", (WIDTH, HEIGHT), world.room.wall)
    pen = ImageDraw.Draw(image)
    _furnish(pen, world)
    present = [figure for figure in world.figures if figure.present]
    held = {figure.holding for figure in present}
    for figure in present:
        if figure.hidden:
            _figure(pen, figure)
    _screen(pen, world.room.screen)
    standing: list[Figure | Thing] = [figure for figure in present if not figure.hidden]
    standing += [thing for thing in world.things if thing not in held]
    for each in sorted(standing, key=lambda each: each.base):
        if isinstance(each, Figure):
            _figure(pen, each)
        else:
            _thing(pen, each, each.x, each.base)
    if not world.room.bright:
        image = image.point(_DIMMED)
    return np.asarray(image)


def _furnish(pen: ImageDraw.ImageDraw, world: World) -> None:
    room = world.room
    pen.rectangle((0, HORIZON, WIDTH, HEIGHT), room.floor)
    pen.line((0, HORIZON, WIDTH, HORIZON), _shade(room.floor, 0.7))
    left, right = room.door - 9, room.door + 9
    pen.rectangle((left - 1, 26, right + 1, 68), _shade(room.wall, 0.75))
    pen.rectangle((left, 27, right, 68), (16, 16, 20))
    if room.opening < 1:
        pen.rectangle((left, 27, left + 18 * (1 - room.opening), 68), (150, 140, 132))
    pen.line((room.lamp, 30, room.lamp, 74), (70, 70, 74), 2)
    pen.polygon(
        ((room.lamp - 3, 20), (room.lamp + 3, 20), (room.lamp + 7, 31), (room.lamp - 7, 31)),
        (255, 252, 226) if room.bright else (118, 116, 112),
    )
    pen.rectangle((room.chair - 8, 52, room.chair + 8, 56), (96, 88, 82))
    pen.rectangle((room.chair - 8, 68, room.chair + 8, 72), (96, 88, 82))
    for side in (-8, 7):
        pen.rectangle((room.chair + side, 52, room.chair + side + 1, 80), (96, 88, 82))


def _screen(pen: ImageDraw.ImageDraw, x: float) -> None:
    pen.rectangle((x - 15, 34, x + 15, 84), (128, 122, 114))
    for stripe in range(-12, 15, 6):
        pen.line((x + stripe, 34, x + stripe, 84), (112, 106, 100))


def _figure(pen: ImageDraw.ImageDraw, me: Figure) -> None:
    head, width, height, legs = _SIZES[me.kind]
    legs = 4 if me.seated else legs
    feet = me.base - me.lift - (8 if me.seated else 0)
    pen.ellipse((me.x - 7, me.base - 2, me.x + 7, me.base + 1), (70, 66, 62))
    hips, half = feet - legs, width / 2 * (1 - 0.6 * me.turn)
    forward = me.bend * 7 * me.facing
    shoulders = hips - height * (1 - 0.4 * me.bend)
    step = 1 + 4 * me.stride + (3 if me.seated else 0)
    for side in (-1, 1):
        pen.line((me.x + side, hips, me.x + side * step, feet), _TROUSERS, 3)
    _body(pen, me, (me.x, me.x + forward), hips, shoulders, half)
    top = me.x + forward
    pen.ellipse((top - head, shoulders - 2 * head, top + head, shoulders), SKIN)
    pen.arc((top - head, shoulders - 2 * head, top + head, shoulders), 180, 360, (60, 40, 28), 2)
    _arms(pen, me, top, shoulders, half, height)


def _body(
    pen: ImageDraw.ImageDraw, me: Figure, x: tuple[float, float], hips: float, shoulders: float, half: float
) -> None:
    paint = PAINT[me.colour]
    low, high = x
    if me.kind == "man":
        pen.polygon(((high - half, shoulders), (high + half, shoulders), (low + half, hips), (low - half, hips)), paint)
    elif me.kind == "woman":
        pen.polygon(((high - 2, shoulders), (high + 2, shoulders), (low + half, hips), (low - half, hips)), paint)
    else:
        pen.ellipse((min(low, high) - half, shoulders, max(low, high) + half, hips), paint)


def _arms(pen: ImageDraw.ImageDraw, me: Figure, x: float, shoulders: float, half: float, height: float) -> None:
    shoulder = shoulders + 3
    if me.spread:
        pen.line((x - 14 * (1 - me.turn), shoulder, x - half, shoulder), SKIN, 2)
        pen.line((x + half, shoulder, x + 14 * (1 - me.turn), shoulder), SKIN, 2)
        return
    if me.raised:
        pen.line((x + half * me.facing, shoulder, x + 9 * me.facing, shoulder - 18 * me.raised), SKIN, 2)
    if me.reach:
        hand = (x + me.facing * 11 * me.reach, shoulder + 0.3 * height + 7 * me.bend)
        pen.line((x + half * me.facing, shoulder, *hand), SKIN, 2)
        if me.holding is not None:
            _thing(pen, me.holding, hand[0] + 2 * me.facing, hand[1] + 4)
        return
    for side in (-1, 1):
        if not (me.raised and side == me.facing):
            pen.line((x + side * (half + 1), shoulder, x + side * (half + 1), shoulder + height * 0.5), SKIN, 2)


def _thing(pen: ImageDraw.ImageDraw, thing: Thing, x: float, base: float) -> None:
    paint = PAINT[thing.colour]
    if thing.kind == "ball":
        pen.ellipse((x - 5, base - 10, x + 5, base), paint)
    elif thing.kind == "box":
        pen.rectangle((x - 5, base - 10, x + 5, base), paint)
    elif thing.kind == "book":
        pen.rectangle((x - 7, base - 5, x + 7, base), paint)
    elif thing.kind == "bottle":
        pen.rectangle((x - 2.5, base - 12, x + 2.5, base), paint)
    elif thing.kind == "cone":
        pen.polygon(((x, base - 13), (x + 6, base), (x - 6, base)), paint)
    else:
        pen.polygon(((x, base - 14), (x + 6, base - 7), (x, base), (x - 6, base - 7)), paint)


def _shade(colour: Colour, share: float) -> Colour:
    red, green, blue = (round(value * share) for value in colour)
    return red, green, blue
