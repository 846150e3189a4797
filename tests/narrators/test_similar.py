"""Frames that show what the last narrated one showed take its narrative."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from src.data.narratives import parse, to_line
from src.data.records import Narratives
from src.errors import UserError
from src.narrators.narrator import Reading
from src.videos.collection import Item
from src.videos.frames import Frame
from src.videos.similarity import without_similar
from tests.narrators.colours import Colours
from tests.narrators.videos import write_pictures


def grey(level: float, time: float = 0.0) -> Frame:
    return Frame(time, time, np.full((48, 64, 3), level, np.uint8))


def test_a_frame_is_compared_with_the_last_one_kept() -> None:
    # Each differs from the one before by 2, but they drift apart.
    frames = [grey(2 * n, float(n)) for n in range(7)]
    shown = list(without_similar(frames, 5.0))
    assert [(each.frame.time, each.again) for each in shown] == [(0.0, (1.0, 2.0)), (3.0, (4.0, 5.0)), (6.0, ())]
    assert [each.frame for each in without_similar(frames, None)] == frames
    assert len(list(without_similar([grey(9), grey(9)], 0.0))) == 1
    assert list(without_similar([], 3.0)) == []


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_there_is_a_narrative_for_every_time(tmp_path: Path, batch_size: int) -> None:
    levels = [0, 0, 0, 200, 200, 100, 0]
    pictures = [(n / 2, np.full((48, 64, 3), level, np.uint8)) for n, level in enumerate(levels)]
    path = write_pictures(tmp_path / "a.mp4", pictures, 64, 48)
    every, fewer = Colours(batch_size), Colours(batch_size)
    (whole,) = every.outcomes([Item("a", path)], Reading("pyav", 64, 2))
    (told,) = fewer.outcomes([Item("a", path)], Reading("pyav", 64, 2, skip_similar=5.0))
    assert isinstance(whole, Narratives)
    assert isinstance(told, Narratives)
    assert told.times == whole.times
    assert told.repeated == (0.5, 1.0, 2.0)
    assert len(set(told.texts[:3])) == 1
    assert told.writer == whole.writer | {"skip_similar": 5.0}
    assert parse(json.loads(to_line(told)), "here") == told
    assert "repeated" not in json.loads(to_line(whole))
    assert fewer.calls <= every.calls


def test_what_is_no_threshold_is_refused() -> None:
    with pytest.raises(UserError, match=r"frames.skip_similar=256.*: give a number from 0 to 255"):
        Reading("pyav", 64, 2, skip_similar=256.0)


def test_repeated_times_that_are_none_are_refused() -> None:
    record = {"video": "a", "times": [0.0, 1.0], "texts": ["a", "a"], "repeated": [2.0]}
    with pytest.raises(UserError, match="repeated times of video a are not among its times"):
        parse(record, "here")
