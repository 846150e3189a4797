"""The narrator that is told the script."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from src.data.records import Narratives
from src.errors import UserError
from src.narrators.narrator import Failure, Reading
from src.playroom.ideal import IdealNarrator
from src.playroom.splits import make_video
from src.videos.collection import Item

READING = Reading("pyav", 64, 1)


def ideal(folder: Path) -> IdealNarrator:
    (folder / "videos").mkdir()
    (folder / "videos" / "train_0000.mp4").touch()
    (folder / "playroom.json").write_text(json.dumps({"size": {}, "seed": 5, "version": 1}))
    return IdealNarrator("ideal", 1.0, str(folder))


def test_what_is_asked_for_is_told_while_it_is_done(tmp_path: Path) -> None:
    narrator = ideal(tmp_path)
    told, other = narrator.outcomes([Item("train_0000", None), Item("none", None)], READING)
    assert isinstance(told, Narratives)
    assert isinstance(other, Failure)
    assert told.writer["model"] == "told the script"
    for query in make_video(5, "train", 0).queries:
        during = [text for time, text in zip(told.times, told.texts, strict=True) if query.start <= time < query.end]
        assert during
        assert "Nothing happens." not in during


def test_without_a_playroom_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no Playroom"):
        IdealNarrator("ideal", 1.0, str(tmp_path)).writer(READING)
