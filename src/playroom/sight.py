"""What there is to see in one frame of the Playroom: figures and things, found by colour and shape.

It sees pixels alone: what overlaps is merged, what is hidden is missed, and what looks alike is mistaken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from src.videos.frames import Pixels

_HUES = {"red": 0, "orange": 30, "yellow": 55, "green": 127, "blue": 228, "purple": 282, "pink": 326}  # degrees
_NEAREST = np.abs((np.arange(360)[:, None] - np.array(list(_HUES.values())) + 180) % 360 - 180).argmin(axis=1)
_LEAST_AREA = 18  # pixels of a frame of the usual size; a smaller patch is overlooked
_USUAL = 96  # rows


@dataclass(frozen=True)
class Patch:
    """A connected patch of one colour: its mask's box in pixels (ends past the last), area and middle."""

    colour: str
    top: int
    bottom: int
    left: int
    right: int
    area: int
    row: float
    column: float

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def filled(self) -> float:
        """Share of its box that it covers."""
        return self.area / (self.height * self.width)


@dataclass(frozen=True)
class Thing:
    """A patch of paint without a head: something, by its shape."""

    kind: str
    patch: Patch


@dataclass(frozen=True)
class Figure:
    """A patch of paint with a head on it: somebody, by its shape.

    `pose` is airborne, seated, bent, waving, spread, holding, pushing, turned or standing.
    """

    kind: str
    patch: Patch
    pose: str
    touches: Thing | None
    in_doorway: bool


@dataclass(frozen=True)
class View:
    """A frame as seen: figures and things from left to right."""

    figures: tuple[Figure, ...]
    things: tuple[Thing, ...]
    bright: bool
    doorway: bool


def look(frame: Pixels) -> View:
    """Find figures and things in a frame (height, width, 3)."""
    scale = frame.shape[0] / _USUAL
    light = frame.max(axis=-1).astype(np.float32) / 255
    bright = float(np.median(light)) > 0.5
    # A camera opens its iris in the dark.
    values = frame.astype(np.float32) / max(float(frame.max()), 50.0)
    hue, saturation, value = _colours(values)
    painted = np.where((saturation > 0.55) & (value > 0.22), _NEAREST[hue], -1)
    patches = [
        patch
        for index, colour in enumerate(_HUES)
        for patch in _patches(colour, painted == index, _LEAST_AREA * scale**2)
    ]
    skin = (saturation > 0.2) & (saturation < 0.5) & (value > 0.5) & (hue > 10) & (hue < 38)
    # Arms are too thin to outlive an opening.
    broad = ndimage.binary_opening(skin, np.ones((max(round(4 * scale), 1),) * 2))
    heads = _patches("skin", broad, 14 * scale**2)
    rim = round(2 * scale)
    for head in heads:
        skin[max(head.top - rim, 0) : head.bottom + rim, max(head.left - rim, 0) : head.right + rim] = False
    dark = _patches("dark", light < (0.11 if bright else 0.07), 180 * scale**2)
    doorway = next((each for each in dark if each.height > 1.3 * each.width and each.width > 7 * scale), None)
    scene = _Scene(patches, heads, skin, (value < 0.3) & (saturation < 0.35), doorway, bright, scale)
    return scene.view()


def _colours(values: NDArray[np.float32]) -> tuple[NDArray[np.int16], NDArray[np.float32], NDArray[np.float32]]:
    """Hue in whole degrees, saturation and value, each (height, width)."""
    red, green, blue = np.ascontiguousarray(np.moveaxis(values, -1, 0))
    most = np.maximum(np.maximum(red, green), blue)
    spread = most - np.minimum(np.minimum(red, green), blue)
    safe = np.where(spread > 0, spread, 1)
    sectors = [(green - blue) / safe % 6, (blue - red) / safe + 2]
    hue = 60 * np.select([most == red, most == green], sectors, (red - green) / safe + 4)
    return hue.astype(np.int16) % 360, spread / np.maximum(most, 1e-3), most


def _patches(colour: str, mask: NDArray[np.bool_], least: float) -> list[Patch]:
    if np.count_nonzero(mask) < least:
        return []
    labels, _ = ndimage.label(mask)
    areas = np.bincount(labels.ravel())
    found = []
    for index, box in enumerate(ndimage.find_objects(labels), start=1):
        if areas[index] >= least:
            rows, columns = np.nonzero(labels[box] == index)
            (top, bottom), (left, right) = ((each.start, each.stop) for each in box)
            middle = top + float(rows.mean()), left + float(columns.mean())
            found.append(Patch(colour, top, bottom, left, right, int(areas[index]), *middle))
    return found


@dataclass(frozen=True)
class _Scene:
    """What was found in a frame, before it is understood. Masks are (height, width); `limbs` is skin without heads."""

    patches: list[Patch]
    heads: list[Patch]
    limbs: NDArray[np.bool_]
    dark: NDArray[np.bool_]
    doorway: Patch | None
    bright: bool
    scale: float  # pixels of this frame for one of the usual size

    def view(self) -> View:
        bodies = self._bodies()
        things = [Thing(_shape(patch), patch) for patch in self.patches if patch not in bodies]
        figures = [self._figure(body, head, things) for body, head in bodies.items()]
        figures.sort(key=lambda figure: figure.patch.column)
        things.sort(key=lambda thing: thing.patch.column)
        return View(tuple(figures), tuple(things), self.bright, self.doorway is not None)

    def _bodies(self) -> dict[Patch, Patch]:
        """The head of each patch that has one: the largest patch right below a head is its body."""
        bodies: dict[Patch, Patch] = {}
        for head in sorted(self.heads, key=lambda head: -head.area):
            below = [
                patch
                for patch in self.patches
                if patch not in bodies
                and abs(patch.top - head.bottom) < 5 * self.scale
                and patch.left - 3 * self.scale < head.column < patch.right + 3 * self.scale
            ]
            if below:
                bodies[max(below, key=lambda patch: patch.area)] = head
        return bodies

    def _figure(self, body: Patch, head: Patch, things: list[Thing]) -> Figure:
        near = [thing for thing in things if self._gap(body, thing.patch) < 7 * self.scale]
        # What is off the floor is in somebody's hands.
        touched = min(
            near,
            key=lambda thing: (thing.patch.bottom > body.bottom + 5 * self.scale, self._gap(body, thing.patch)),
            default=None,
        )
        door = self.doorway
        in_doorway = door is not None and door.left - 3 <= body.column <= door.right + 3
        return Figure(_kind(body, self.scale), body, self._pose(body, head, touched), touched, in_doorway)

    def _gap(self, body: Patch, thing: Patch) -> float:
        """Pixels between a body and a thing on the floor before it or in its hands; infinite for others."""
        if thing.bottom <= body.top - 2 or thing.top >= body.bottom + 14 * self.scale:
            return np.inf
        return max(thing.left - body.right, body.left - thing.right)

    def _pose(self, body: Patch, head: Patch, touched: Thing | None) -> str:
        legs, air = self._below(body)
        if air > 2 * self.scale:
            return "seated" if legs <= 5 * self.scale else "airborne"
        if abs(head.column - body.column) > 3.5 * self.scale and touched is not None:
            return "bent"
        left, right, up = self._arms(body, head)
        if up >= 2 * self.scale:
            return "waving"
        if min(left, right) >= 2 * self.scale:
            return "spread"
        if touched is not None and touched.patch.bottom < body.bottom + 5 * self.scale:
            return "holding"
        if touched is not None and max(left, right) >= 3 * self.scale:
            return "pushing"
        slim = body.height > 14 * self.scale and body.width < 0.5 * body.height
        return "turned" if slim else "standing"

    def _below(self, body: Patch) -> tuple[int, int]:
        """Rows of legs below a body, and rows of floor between these and its shadow (0 if no shadow is seen)."""
        column = round(body.column)
        strip = self.dark[body.bottom : body.bottom + round(34 * self.scale), max(column - 3, 0) : column + 4].any(
            axis=1
        )
        rows = np.flatnonzero(strip)
        if not len(rows) or rows[0] > 3 * self.scale:
            return 0, 0
        breaks = np.flatnonzero(np.diff(rows) > 1)
        if not len(breaks):
            return len(rows), 0
        end = rows[breaks[0]]
        return int(end + 1), int(rows[breaks[0] + 1] - end - 1)

    def _arms(self, body: Patch, head: Patch) -> tuple[int, int, int]:
        """How far arms reach beyond a body on its left and right, and how many rows they reach above its head."""
        reach, shoulders = round(9 * self.scale), body.top + round(6 * self.scale)
        level = self.limbs[body.top : shoulders]
        left = level[:, max(body.left - reach, 0) : max(body.left - 2, 0)].any(axis=0).sum()
        right = level[:, body.right + 2 : body.right + reach].any(axis=0).sum()
        column = round(head.column)
        above = self.limbs[max(head.top - reach, 0) : head.top, max(column - 11, 0) : column + 12]
        up = above.any(axis=1).sum()
        return int(left), int(right), int(up)


def _shape(patch: Patch) -> str:
    ratio = patch.width / patch.height
    middle = (patch.row - patch.top) / patch.height
    if patch.filled < 0.66:
        return "cone" if middle > 0.56 else "kite"
    if ratio > 1.7:
        return "book"
    if ratio < 0.7:
        return "bottle"
    return "box" if patch.filled > 0.88 else "ball"


def _kind(body: Patch, scale: float) -> str:
    if body.height < 14 * scale and body.filled > 0.62:
        return "child"
    middle = (body.row - body.top) / body.height
    return "woman" if middle > 0.55 and body.filled < 0.76 else "man"
