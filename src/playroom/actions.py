"""What a figure can do. Each action is a generator that moves its figure on by one frame at each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from src.playroom.world import FPS, WIDTH, Figure, Thing, World

Action = Iterator[None]

_WALK = 26.0 / FPS  # pixels a frame
_RUN = 52.0 / FPS
_ARM = 12.0  # pixels from a figure's middle to its hands
_MARGIN = 8.0  # pixels that figures keep from the edge of the frame
_SILL = 72.0  # row on which a figure in the doorway stands


def play(world: World) -> Iterator[None]:
    """Let time pass: the figures of `world` act, and it is the world at each frame."""
    while world.now < world.seconds:
        for figure in world.figures:
            if figure.action is None:
                figure.action = _next_action(world, figure)
            if next(figure.action, world) is world:
                figure.action = None
        yield
        world.frame += 1


def _next_action(world: World, me: Figure) -> Action:
    """What a figure does next: one of the things that it can do now, or waiting."""
    me.rest()
    if not me.present:
        return _enter(world, me) if world.room.opening == 1 and world.chance.random() < 0.3 else _wait(world, me)
    if not me.idle:
        return _wait(world, me)
    me.idle = False
    options = [*_with_things(world, me), *_in_the_room(world, me), *_alone(world, me)]
    weights = [weight for weight, _ in options]
    return world.chance.choices([start for _, start in options], weights)[0]()


Option = tuple[float, Callable[[], Action]]


def _with_things(world: World, me: Figure) -> list[Option]:
    held = me.holding
    if held is not None:
        return [(3, lambda: _put_down(world, me, held)), (2, lambda: _carry(world, me, held))]
    free = [thing for thing in world.things if thing not in world.taken]
    if not free:
        return []
    thing = world.chance.choice(free)
    options: list[Option] = [(3, lambda: _pick_up(world, me, thing)), (2, lambda: _push(world, me, thing))]
    if thing.kind in ("ball", "box", "bottle"):
        options.append((1.5, lambda: _kick(world, me, thing)))
    return options


def _in_the_room(world: World, me: Figure) -> list[Option]:
    options: list[Option] = []
    if "door" not in world.taken:
        options.append((1.5, lambda: _turn_door(world, me)))
        if world.room.opening == 1 and me.holding is None and sum(each.present for each in world.figures) > 1:
            options.append((1, lambda: _leave(world, me)))
    if "lamp" not in world.taken:
        options.append((1, lambda: _switch_lamp(world, me)))
    if "chair" not in world.taken:
        options.append((1.2, lambda: _sit(world, me)))
    if "screen" not in world.taken and me.holding is None:
        options.append((1, lambda: _hide(world, me)))
    return options


def _alone(world: World, me: Figure) -> list[Option]:
    options: list[Option] = [(0.7, lambda: _stroll(world, me)), (1.2, lambda: _wave(world, me))]
    if me.holding is None:
        options += [(1.6, lambda: _jump(world, me)), (1.2, lambda: _spin(world, me))]
        others = [other for other in world.figures if other.present and other.idle and other.holding is None]
        if others:
            options.append((2, lambda: _chase(world, me, world.chance.choice(others))))
    return options


def _frames(world: World, shortest: float, longest: float) -> range:
    return range(round(world.chance.uniform(shortest, longest) * FPS))


def _wait(world: World, me: Figure) -> Action:
    me.idle = True
    for _ in _frames(world, 0.3, 2.0):
        yield


def _go(me: Figure, x: float, speed: float = _WALK) -> Action:
    """Walk to `x`, with whatever is held."""
    x = min(max(x, _MARGIN), WIDTH - _MARGIN)
    while abs(x - me.x) > speed:
        me.facing = 1 if x > me.x else -1
        _step(me, me.x + speed * me.facing)
        yield
    me.x = x
    me.stride = 0.0


def _step(me: Figure, x: float) -> None:
    me.stride = 0.5 + 0.5 * math.sin(x / 3)
    me.x = min(max(x, _MARGIN), WIDTH - _MARGIN)


def _beside(world: World, me: Figure, x: float) -> Action:
    """Walk to where `x` is within reach, and face it."""
    side = 1 if me.x < x else -1
    if not _MARGIN <= x - side * _ARM <= WIDTH - _MARGIN:
        side = -side
    yield from _go(me, x - side * _ARM)
    me.facing = side


def _pick_up(world: World, me: Figure, thing: Thing) -> Action:
    world.taken.add(thing)
    yield from _beside(world, me, thing.x)
    with world.doing("pick up", me, thing):
        down = _frames(world, 1.2, 2.2)
        for frame in down:
            me.bend = me.reach = (frame + 1) / len(down)
            yield
        me.holding = thing
        up = _frames(world, 1.2, 2.2)
        for frame in up:
            me.bend = 1 - (frame + 1) / len(up)
            yield


def _put_down(world: World, me: Figure, thing: Thing) -> Action:
    with world.doing("put down", me, thing):
        down = _frames(world, 1.2, 2.2)
        for frame in down:
            me.bend = (frame + 1) / len(down)
            yield
        thing.x, thing.base = me.x + _ARM * me.facing, me.base + 1
        me.holding = None
        world.taken.discard(thing)
        up = _frames(world, 1.0, 1.8)
        for frame in up:
            me.bend = me.reach = 1 - (frame + 1) / len(up)
            yield


def _carry(world: World, me: Figure, thing: Thing) -> Action:
    with world.doing("carry", me, thing):
        end = world.now + world.chance.uniform(4, 9)
        while world.now < end:
            yield from _go(me, world.chance.uniform(12, 116))
            yield


def _push(world: World, me: Figure, thing: Thing) -> Action:
    with world.taking(thing):
        yield from _beside(world, me, thing.x)
        room = WIDTH - _MARGIN - thing.x if me.facing > 0 else thing.x - _MARGIN
        if room < 24:
            return
        with world.doing("push", me, thing):
            me.reach, me.bend = 1.0, 0.3
            speed = world.chance.uniform(8, 13) / FPS
            for _ in range(int(min(room, world.chance.uniform(36, 90)) / speed)):
                _step(me, me.x + speed * me.facing)
                thing.x += speed * me.facing
                yield


def _kick(world: World, me: Figure, thing: Thing) -> Action:
    with world.taking(thing):
        yield from _beside(world, me, thing.x)
        with world.doing("kick", me, thing):
            for _ in range(world.chance.choice((2, 3))):
                me.stride = 1.0
                room = WIDTH - _MARGIN - thing.x if me.facing > 0 else thing.x - _MARGIN
                me.facing = me.facing if room > 20 else -me.facing
                for frame in range(FPS):
                    thing.x += me.facing * 3.2 * (1 - frame / FPS)
                    me.stride = max(0.0, 1 - frame / 4)
                    yield
                yield from _beside(world, me, thing.x)


def _turn_door(world: World, me: Figure) -> Action:
    with world.taking("door"):
        yield from _beside(world, me, world.room.door)
        opening = world.room.opening == 0
        with world.doing("open" if opening else "close", me):
            me.reach = 1.0
            frames = _frames(world, 2.5, 4.5)
            for frame in frames:
                share = (frame + 1) / len(frames)
                world.room.opening = share if opening else 1 - share
                yield


def _switch_lamp(world: World, me: Figure) -> Action:
    with world.taking("lamp"):
        yield from _beside(world, me, world.room.lamp)
        with world.doing("switch off" if world.room.bright else "switch on", me):
            frames = _frames(world, 2.5, 4.0)
            for frame in frames:
                me.raised = 1.0
                if frame == len(frames) // 2:
                    world.room.bright = not world.room.bright
                yield


def _sit(world: World, me: Figure) -> Action:
    with world.taking("chair"):
        yield from _go(me, world.room.chair)
        with world.doing("sit", me):
            me.seated = True
            for _ in _frames(world, 4, 9):
                yield


def _hide(world: World, me: Figure) -> Action:
    with world.taking("screen"):
        yield from _go(me, world.room.screen + world.chance.choice((-24, 24)))
        with world.doing("hide", me):
            me.hidden = True
            yield from _go(me, world.room.screen)
            for _ in _frames(world, 3, 7):
                yield
        yield from _go(me, world.room.screen + world.chance.choice((-24, 24)))


def _enter(world: World, me: Figure) -> Action:
    me.x, me.base, me.present = world.room.door, _SILL, True
    with world.doing("enter", me):
        yield from _through_door(world, me, me.lane)


def _leave(world: World, me: Figure) -> Action:
    with world.taking("door"):
        yield from _go(me, world.room.door)
        with world.doing("leave", me):
            yield from _through_door(world, me, _SILL)
    me.present = False


def _through_door(world: World, me: Figure, base: float) -> Action:
    """Between the door and the room, from the present row to `base`."""
    start, frames = me.base, _frames(world, 2.5, 4.5)
    inwards = base > start
    for frame in frames:
        share = (frame + 1) / len(frames)
        me.base = start + (base - start) * share
        if inwards:
            _step(me, world.room.door + (18 if world.room.door < WIDTH / 2 else -18) * share)
        yield


def _jump(world: World, me: Figure) -> Action:
    with world.doing("jump", me):
        for _ in range(world.chance.randint(4, 9)):
            for frame in range(FPS):
                me.lift = 16 * math.sin(math.pi * (frame + 1) / FPS)
                yield


def _spin(world: World, me: Figure) -> Action:
    with world.doing("spin", me):
        for frame in _frames(world, 4, 8):
            me.spread = 1.0
            me.turn = abs(math.sin(frame * 0.6))
            me.facing = 1 if math.sin(frame * 0.6) > 0 else -1
            yield


def _wave(world: World, me: Figure) -> Action:
    with world.doing("wave", me):
        for frame in _frames(world, 3.5, 7):
            me.raised = 0.75 + 0.25 * math.sin(frame * 1.2)
            yield


def _stroll(world: World, me: Figure) -> Action:
    yield from _go(me, world.chance.uniform(12, 116))


def _chase(world: World, me: Figure, other: Figure) -> Action:
    frames = _frames(world, 4, 8)
    other.rest()
    other.idle = False
    other.action = _flee(other, me, len(frames))
    with world.doing("chase", me, other=other):
        for _ in frames:
            me.facing = 1 if other.x > me.x else -1
            if abs(other.x - me.x) > 16:
                _step(me, me.x + _RUN * me.facing)
            yield


def _flee(me: Figure, from_whom: Figure, frames: int) -> Action:
    me.facing = 1 if me.x > from_whom.x else -1
    for _ in range(frames):
        if not 2 * _MARGIN < me.x + _RUN * me.facing < WIDTH - 2 * _MARGIN:
            me.facing = -me.facing
        _step(me, me.x + 0.9 * _RUN * me.facing)
        yield
