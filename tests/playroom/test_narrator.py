"""The stand-in narrator sees what is drawn, errs as captioners do, and goes the way of every narrator."""

from __future__ import annotations

import inspect
from pathlib import Path
from random import Random

import numpy as np
import pytest

from src.commands.narrate import narrate
from src.data.narratives import read_narratives
from src.data.splits import load_split, split_names
from src.playroom import narrator as told
from src.playroom import sight
from src.playroom.drawing import draw
from src.playroom.generation import generate
from src.playroom.narrator import describe
from src.playroom.sight import look
from src.playroom.world import COLOURS, FIGURES, THINGS, Figure, Thing, World, new_world
from tests.compose import compose
from tests.playroom.sizes import SMALL


def room(figures: list[Figure], things: list[Thing], bright: bool = True, opening: float = 0.0) -> World:
    world = new_world(Random("empty"))
    world.figures, world.things = figures, things
    world.room.bright, world.room.opening = bright, opening
    world.room.door, world.room.screen, world.room.lamp, world.room.chair = 14, 114, 44, 84
    return world


@pytest.mark.parametrize("bright", [True, False])
@pytest.mark.parametrize("colour", COLOURS)
def test_figures_and_things_are_told_by_shape_and_colour(colour: str, bright: bool) -> None:
    for kind in FIGURES:
        view = look(draw(room([Figure(kind, colour, 64, 88, 88)], [], bright)))
        assert [(each.kind, each.patch.colour, each.pose) for each in view.figures] == [(kind, colour, "standing")]
        assert view.bright == bright
    for kind in THINGS:
        view = look(draw(room([], [Thing(kind, colour, 64, 88)], bright)))
        assert [(each.kind, each.patch.colour) for each in view.things] == [(kind, colour)]


def test_poses_are_told() -> None:
    def pose(**state: object) -> str:
        figure = Figure("man", "blue", 64, 86, 86)
        for name, value in state.items():
            setattr(figure, name, value)
        return look(draw(room([figure], []))).figures[0].pose

    assert pose(lift=14.0) == "airborne"
    assert pose(seated=True) == "seated"
    assert pose(raised=1.0) == "waving"
    assert pose(spread=1.0) == "spread"
    assert pose(reach=1.0, holding=Thing("box", "red", 0, 0)) == "holding"


def test_the_door_is_seen() -> None:
    assert look(draw(room([], [], opening=1.0))).doorway
    assert not look(draw(room([], [], opening=0.0))).doorway


def test_what_overlaps_or_is_hidden_is_mistaken_or_missed() -> None:
    hidden = Figure("child", "red", 114, 82, 82, hidden=True)
    assert not look(draw(room([hidden], []))).figures
    merged = [Thing("ball", "green", 60, 88), Thing("ball", "green", 66, 88)]
    assert len(look(draw(room([], merged))).things) == 1


def test_a_picture_of_nothing_and_one_of_noise_are_described() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    for picture in (np.zeros((96, 128, 3), np.uint8), np.full((48, 64, 3), 255, np.uint8), noise):
        assert describe(look(picture)).strip()


def test_it_knows_nothing_of_the_script() -> None:
    for module in (told, sight):
        source = inspect.getsource(module)
        assert not any(name in source for name in ("world", "actions", "drawing", "splits", "src.playroom.language"))


def test_it_narrates_like_any_narrator_in_more_words_than_queries_have(tmp_path: Path) -> None:
    generate(tmp_path / "playroom", SMALL, seed=0, workers=2)
    places = [f"paths.data={tmp_path}", f"paths.outputs={tmp_path}/outputs", f"videos={tmp_path}/playroom/videos"]
    cfg = compose("data=playroom", "narrator=playroom", *places, config="narrate")
    narrate(cfg)
    moments = [moment for split in split_names(cfg.data) for moment in load_split(cfg.data, split).moments]
    narratives = {each.video: each for each in read_narratives(Path(cfg.paths.narratives) / "playroom/playroom.jsonl")}
    assert set(narratives) == {moment.video for moment in moments}
    assert all(
        len(narratives[moment.video].times) >= int(moment.duration / cfg.narrator.interval) for moment in moments
    )
    assert "stand-in" in next(iter(narratives.values())).writer["model"]
    train = {word for moment in load_split(cfg.data, "train").moments for word in moment.query.rstrip(".").split()}
    said = {word.strip(".,").lower() for each in narratives.values() for text in each.texts for word in text.split()}
    assert {"lady", "kid", "holding"} & said - train
