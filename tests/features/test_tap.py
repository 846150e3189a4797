"""Features and narratives of one decoding: what each is made of is what it would have read by itself."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from src.data.records import Narratives
from src.errors import UserError
from src.features.computed import Computed, computed_meanwhile
from src.features.extractor import Frames
from src.narrators.narrator import Failure, Outcome, Reading
from src.videos.collection import Item, collect
from src.videos.frames import Frame
from src.videos.tap import Tap
from tests.features.test_pipeline import Numbers, computed
from tests.narrators.colours import Colours
from tests.narrators.videos import write_video

READING = Reading(reader="pyav", longest=64, ahead=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six videos of 1 to 3 seconds and one that is none, between them."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(6):
        write_video(folder / f"v{number}.mp4", [n / 10 for n in range(10 * (1 + number % 3))])
    (folder / "v2_broken.mp4").write_text("no video")
    return folder


def colours() -> Colours:
    """A narrator of more frames a video than a tap holds."""
    narrator = Colours()
    narrator.interval = 0.1
    return narrator


def by_itself(item: Item) -> Iterator[Frame]:
    raise AssertionError(f"{item.video} was decoded again")


def narrated(narrator: Colours, items: list[Item], layout: Computed, todo: list[str], tap: Tap) -> list[Outcome]:
    with computed_meanwhile(layout, todo, tap):
        return list(narrator.outcomes(items, READING, tap.frames))


@pytest.mark.parametrize("workers", [1, 3])
def test_both_are_what_they_are_apart_and_no_video_is_decoded_twice(folder: Path, tmp_path: Path, workers: int) -> None:
    items = collect(folder, None)
    narrator, layout = colours(), computed(folder, Numbers(), workers=workers, parts=str(tmp_path / "parts"))
    tap = Tap(narrator.view(READING), [item.video for item in items], by_itself)
    outcomes = narrated(narrator, items, layout, [item.video for item in items], tap)
    assert outcomes == list(colours().outcomes(items, READING))
    assert [type(outcome) for outcome in outcomes].count(Failure) == 1
    alone = computed(folder, Numbers())
    for item in items:
        if item.video == "v2_broken":
            assert not layout.is_kept(item.video)
        else:
            assert np.array_equal(layout(item.video), alone(item.video)), item.video


def test_a_video_that_only_one_of_them_wants_holds_nothing_up(folder: Path, tmp_path: Path) -> None:
    (folder / "v2_broken.mp4").unlink()
    items = collect(folder, None)
    narrator, layout = colours(), computed(folder, Numbers(), workers=1, parts=str(tmp_path / "parts"))
    layout.compute(["v1", "v3"])
    todo = [item.video for item in items if not layout.is_kept(item.video)]
    tap = Tap(narrator.view(READING), {*todo} - {"v0", "v5"}, partial(narrator.frames, reading=READING))
    outcomes = narrated(narrator, items[1:5], layout, todo, tap)
    assert outcomes == list(colours().outcomes(items[1:5], READING))
    assert all(layout.is_kept(item.video) for item in items)


class Failing(Numbers):
    """A model that gives up for good in the middle."""

    def __call__(self, windows: Frames) -> NDArray[np.float32]:
        if len(self.calls) == 2:
            raise UserError("no memory is left")
        return super().__call__(windows)


def test_where_features_cannot_be_computed_all_is_narrated_before_it_is_said(folder: Path) -> None:
    items = collect(folder, None)
    narrator, layout = colours(), computed(folder, Failing(), workers=2)
    tap = Tap(narrator.view(READING), [item.video for item in items], partial(narrator.frames, reading=READING))
    outcomes: list[Outcome] = []
    with (
        pytest.raises(UserError, match="no memory is left"),
        computed_meanwhile(layout, [item.video for item in items], tap),
    ):
        outcomes += narrator.outcomes(items, READING, tap.frames)
    assert outcomes == list(colours().outcomes(items, READING))


def test_who_takes_no_more_frames_does_not_keep_the_features_waiting(folder: Path, tmp_path: Path) -> None:
    (folder / "v2_broken.mp4").unlink()
    items = collect(folder, None)
    narrator, layout = colours(), computed(folder, Numbers(), workers=1, parts=str(tmp_path / "parts"))
    tap = Tap(narrator.view(READING), [item.video for item in items], by_itself)
    with computed_meanwhile(layout, [item.video for item in items], tap):
        outcomes = narrator.outcomes(items, READING, tap.frames)
        assert isinstance(next(outcomes), Narratives)
        outcomes.close()  # type: ignore[attr-defined]
    assert all(layout.is_kept(item.video) for item in items)
