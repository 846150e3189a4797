"""Decoding runs ahead, batches are captioned in order, and one bad video stops none of the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from src.data.records import Narratives
from src.errors import UserError
from src.narrators.narrator import Failure, NarrationError, Outcome, Reading
from src.videos.collection import Item
from src.videos.frames import Frame, Pixels
from tests.narrators.colours import READING, Colours
from tests.narrators.videos import write_video


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    """Six videos of 1 to 6 seconds at 10 frames a second."""
    folder = tmp_path_factory.mktemp("videos")
    return [
        Item(f"v{number}", write_video(folder / f"v{number}.mp4", [n / 10 for n in range(10 * number)]))
        for number in range(1, 7)
    ]


@pytest.mark.parametrize("under_way", [1, 4])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_narratives_do_not_depend_on_batches(items: list[Item], batch_size: int, under_way: int) -> None:
    outcomes = list(Colours(batch_size, under_way).outcomes(items, READING))
    assert [outcome.video for outcome in outcomes] == [video for video, _ in items]
    for number, outcome in enumerate(outcomes, start=1):
        assert isinstance(outcome, Narratives)
        assert outcome.times == tuple(0.5 * n for n in range(2 * number))
        # On one line, without spaces around it, in any alphabet.
        assert outcome.texts[0].startswith("Frame 0, brightness ")
        assert outcome.texts[-1].startswith(f"Frame {5 * (2 * number - 1)}, brightness ")
        assert outcome.texts[0].endswith("schön.")
        assert outcome.writer == {
            **{"narrator": "colours", "model": "colours", "prompt": None},
            **{"interval": 0.5, "longest": 1344, "times": "player"},
        }


def test_bad_videos_fail_alone(items: list[Item], tmp_path: Path) -> None:
    empty, text = tmp_path / "empty.mp4", tmp_path / "text.mp4"
    empty.write_bytes(b"")
    text.write_text("no video")
    cut = write_video(tmp_path / "cut.mp4", [n / 30 for n in range(400)], options={"movflags": "faststart"})
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    bad = [Item("empty", empty), Item("text", text), Item("lost", None), Item("cut", cut)]
    mixed = [bad[0], items[0], bad[1], bad[2], items[1], bad[3], items[2]]
    outcomes = {outcome.video: outcome for outcome in Colours().outcomes(mixed, READING)}
    assert list(outcomes) == [video for video, _ in mixed]
    reasons = {outcome.video: outcome.reason for outcome in outcomes.values() if isinstance(outcome, Failure)}
    assert set(reasons) == {"empty", "text", "lost", "cut"}
    assert "empty (0 bytes)" in reasons["empty"]
    assert "cannot be read as a video" in reasons["text"]
    assert "no file of lost" in reasons["lost"]


def test_a_frame_of_which_nothing_is_said_is_left_out(items: list[Item]) -> None:
    # Frame 5 is at 0.5 s of every video.
    outcomes = list(Colours(batch_size=1, silent_about=5).outcomes(items, READING))
    for number, outcome in enumerate(outcomes, start=1):
        assert isinstance(outcome, Narratives)
        assert outcome.times == (0.0, *(0.5 * n for n in range(2, 2 * number)))


def test_a_video_of_which_nothing_is_said_fails(items: list[Item], tmp_path: Path) -> None:
    narrator = Colours(batch_size=1, silent_about=0)
    outcomes = list(narrator.outcomes([items[1], Item("one", write_video(tmp_path / "one.mp4", [0.0]))], READING))
    assert isinstance(outcomes[0], Narratives)
    assert outcomes[1] == Failure("one", "the narrator said nothing of the frame at 0 s")


class _Failing(Colours):
    """Fails as a library does, with more than one line, at pictures of some width."""

    width = 0

    def narrate(self, frames: Sequence[Pixels]) -> list[str]:
        captions = super().narrate(frames)
        if frames[0].shape[1] == self.width:
            raise ValueError("absolute aspect ratio must be smaller than 200\n  got 224.0")
        return captions


def test_a_picture_that_the_model_cannot_take_fails_its_video_and_spares_the_rest_of_it(
    items: list[Item], tmp_path: Path
) -> None:
    wide = write_video(tmp_path / "wide.mp4", [n / 10 for n in range(100)], width=384)
    narrator = _Failing(batch_size=1)
    narrator.width = 384
    outcomes = list(narrator.outcomes([items[0], Item("wide", wide), items[1]], READING))
    assert [outcome.video for outcome in outcomes] == ["v1", "wide", "v2"]
    assert outcomes[1] == Failure(
        "wide", "the narrator failed (ValueError: absolute aspect ratio must be smaller than 200)"
    )
    assert narrator.calls < 2 + 20 + 4


def test_a_video_that_is_done_does_not_wait_for_the_next(items: list[Item]) -> None:
    """A decoder may take for ever at the next one."""
    release = threading.Event()
    narrator = Colours(under_way=4)

    def stuck(item: Item) -> Iterator[Frame]:
        if item != items[0]:
            release.wait()
        yield from narrator.frames(item, READING)

    outcomes = narrator.outcomes(items, READING, stuck)
    assert next(outcomes).video == "v1"
    release.set()
    assert len(list(outcomes)) == 5


class _Refusing(Colours):
    """Cannot caption the second batch it is given; with `fatal`, nothing from then on."""

    fatal = False

    def narrate(self, frames: Sequence[Pixels]) -> list[str]:
        captions = super().narrate(frames)
        if self.calls == 2:
            raise UserError("the server knows no such model") if self.fatal else NarrationError("too large")
        return captions


def test_a_batch_that_cannot_be_captioned_fails_its_video(items: list[Item]) -> None:
    outcomes = list(_Refusing(batch_size=100).outcomes(items, READING))
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    assert failures == [Failure("v2", "too large")]
    assert len(outcomes) == len(items)


def test_what_stops_everything_is_raised_and_leaves_no_thread(items: list[Item]) -> None:
    narrator = _Refusing(batch_size=100)
    narrator.fatal = True
    before = threading.active_count()
    outcomes: list[Outcome] = []
    with pytest.raises(UserError, match="no such model"):
        outcomes.extend(narrator.outcomes(items, READING))
    assert [outcome.video for outcome in outcomes] == ["v1"]
    assert threading.active_count() == before


def test_decoding_runs_ahead_but_not_far(items: list[Item]) -> None:
    """Memory is bounded: no more than `ahead` batches wait, whatever the length of the videos."""
    read = 0
    reading = Reading("decord", 1344, 3)
    narrator = Colours(batch_size=1, seconds=0.05)

    def counted(item: Item) -> Iterator[Frame]:
        nonlocal read
        for frame in narrator.frames(item, reading):
            read += 1
            yield frame

    outcomes = narrator.outcomes(items, reading, counted)
    next(outcomes)  # of a video of two frames
    deadline = time.monotonic() + 60
    while read < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)
    # Batches that wait to be captioned, those that are decoded ahead of them, and the one in the decoder's hand; the
    # ends of videos take a place in the line too.
    assert 4 <= read <= 2 + 2 + 3 + 1
    outcomes.close()  # type: ignore[attr-defined]


class _Meeting(Colours):
    """Each call waits until there are as many as may be under way."""

    def __init__(self, under_way: int) -> None:
        super().__init__(batch_size=1, under_way=under_way)
        self.meeting = threading.Barrier(under_way, timeout=60)

    def narrate(self, frames: Sequence[Pixels]) -> list[str]:
        self.meeting.wait()
        return super().narrate(frames)


@pytest.mark.parametrize("under_way", [1, 3])
def test_calls_run_at_once(items: list[Item], under_way: int) -> None:
    # 42 frames, which is a whole number of times three.
    outcomes = list(_Meeting(under_way).outcomes(items, READING))
    assert all(isinstance(outcome, Narratives) for outcome in outcomes)


@pytest.mark.parametrize("settings", [{"reader": "opencv"}, {"longest": 0}, {"ahead": 0}])
def test_bad_reading(settings: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r"frames\."):
        Reading(**{"reader": "decord", "longest": 100, "ahead": 1} | settings)  # type: ignore[arg-type]
