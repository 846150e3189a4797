"""Frames by presentation time, on whole, odd and damaged files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.errors import UserError
from src.videos.frames import Backend, Frame, read_frames, sample
from tests.narrators.videos import number_of, write_sound, write_video

BACKENDS: list[Backend] = ["decord", "pyav"]
_RNG = np.random.default_rng(0)


def _steady(rate: float, seconds: float) -> list[float]:
    return [n / rate for n in range(round(rate * seconds))]


# Name → presentation times of the frames.
TIMES = {
    "steady_30": _steady(30, 4),
    "ntsc": _steady(30000 / 1001, 4),
    "slow": _steady(2, 9),
    # Dense at first and sparse later: by frame count, every time would be wrong.
    "variable": _steady(30, 2) + [2 + 0.4 * n for n in range(10)],
    "jittered": np.cumsum(np.concatenate([[0], _RNG.uniform(0.01, 0.3, 40)])).tolist(),
    "two_frames": [0.0, 0.5],
    "one_frame": [0.0],
}


def _read(path: Path, backend: Backend, interval: float = 1.0, longest: int = 4096) -> list[Frame]:
    return list(read_frames(path, interval, backend, longest))


def _half_a_frame(times: list[float], at: float) -> float:
    """Half the longest gap between frames that `at` can lie in, plus the precision of a container's ticks."""
    gaps = np.diff(times)
    if len(gaps) == 0:
        return 0.5
    near = np.searchsorted(times, at).clip(1, len(gaps)) - 1
    return float(gaps[near]) / 2 + 2e-3


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", TIMES)
def test_the_nearest_frame_of_each_second_is_taken(tmp_path: Path, name: str, backend: Backend) -> None:
    times = TIMES[name]
    frames = _read(write_video(tmp_path / "a.mp4", times), backend)
    assert [frame.time for frame in frames] == list(range(len(frames)))
    assert len(frames) >= int(times[-1]) + 1
    for frame in frames:
        shown = times[number_of(frame.pixels)]
        assert shown == pytest.approx(frame.shown, abs=2e-3)
        assert abs(shown - frame.time) <= _half_a_frame(times, frame.time)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".mkv", "libx264"),
        (".webm", "libvpx"),
        (".avi", "mpeg4"),
        (".mov", "mpeg4"),
        (".ts", "libx264"),
        (".mpg", "mpeg2video"),
        (".flv", "flv"),
        (".wmv", "wmv2"),
    ],
)
def test_containers(tmp_path: Path, suffix: str, codec: str, backend: Backend) -> None:
    frames = _read(write_video(tmp_path / f"a{suffix}", _steady(30, 4.8), codec=codec, ticks=30), backend)
    assert [number_of(frame.pixels) for frame in frames] == [0, 30, 60, 90, 120]


@pytest.mark.parametrize("interval", [0.1, 0.37, 2.0])
def test_readers_take_the_same_frames(tmp_path: Path, interval: float) -> None:
    path = write_video(tmp_path / "a.mp4", TIMES["jittered"])
    one, other = (_read(path, backend, interval) for backend in BACKENDS)
    assert [number_of(frame.pixels) for frame in one] == [number_of(frame.pixels) for frame in other]
    assert [frame.time for frame in one] == [frame.time for frame in other]
    np.testing.assert_allclose([frame.shown for frame in one], [frame.shown for frame in other], atol=1e-3)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotated_videos_are_upright(tmp_path: Path, rotation: int, backend: Backend) -> None:
    path = write_video(tmp_path / "a.mp4", _steady(30, 1), width=192, height=96, rotation=rotation)
    pixels = _read(path, backend)[0].pixels
    upright = np.rot90(_read(write_video(tmp_path / "b.mp4", _steady(30, 1)), backend)[0].pixels, rotation // 90)
    assert pixels.shape == upright.shape
    assert np.abs(pixels.astype(int) - upright).mean() < 8


@pytest.mark.parametrize("backend", BACKENDS)
def test_large_frames_are_scaled_down(tmp_path: Path, backend: Backend) -> None:
    path = write_video(tmp_path / "a.mp4", _steady(5, 2), width=3840, height=2160)
    frames = _read(path, backend, longest=1344)
    assert [frame.pixels.shape for frame in frames] == [(756, 1344, 3)] * 2
    assert [number_of(frame.pixels) for frame in frames] == [0, 5]


@pytest.mark.parametrize("backend", BACKENDS)
def test_odd_sizes(tmp_path: Path, backend: Backend) -> None:
    path = write_video(tmp_path / "a.mp4", _steady(10, 2), width=193, height=97)
    assert [frame.pixels.shape for frame in _read(path, backend)] == [(97, 193, 3)] * 2


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_text("This is no video.\n" * 100)


def _cut(path: Path) -> None:
    """Its index comes first, so that it opens, and half of its frames are gone."""
    write_video(path, _steady(30, 12), options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _cut_before_index(path: Path) -> None:
    write_video(path, _steady(30, 4))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _cut_stream(path: Path) -> None:
    """Matroska states the length and has no index that a reader needs."""
    made = write_video(path.with_suffix(".mkv"), _steady(30, 12))
    path.write_bytes(made.read_bytes()[: made.stat().st_size // 2])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_empty, "is empty (0 bytes)"),
        (_text, "cannot be read as a video"),
        (write_sound, "cannot be read as a video"),
        (_cut, "damaged|cut off|cannot be read"),
        (_cut_before_index, "cannot be read as a video"),
        (_cut_stream, "cut off"),
        (lambda path: None, "no file"),
    ],
)
def test_a_bad_file_says_what_is_wrong(
    tmp_path: Path, make: Callable[[Path], None], says: str, backend: Backend
) -> None:
    path = tmp_path / "bad.mp4"
    make(path)
    with pytest.raises(UserError, match=says.replace("(", r"\(").replace(")", r"\)")) as caught:
        _read(path, backend)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_real_video(shared: Path) -> None:
    path = shared / "data" / "videos" / "charades.mp4"
    half = 0.5 / 14.985
    one, other = (_read(path, backend) for backend in BACKENDS)
    for frames in (one, other):
        assert [frame.time for frame in frames] == list(range(31))
        assert {frame.pixels.shape for frame in frames} == {(270, 480, 3)}
        assert max(abs(frame.shown - frame.time) for frame in frames) <= half + 1e-3
    for a, b in zip(one, other, strict=True):
        assert a.shown == pytest.approx(b.shown, abs=1e-3)
        assert np.abs(a.pixels.astype(int) - b.pixels).mean() < 4


def test_the_real_video_cut_off(shared: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    shutil.copyfile(shared / "data" / "videos" / "charades.mp4", path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    for backend in BACKENDS:
        with pytest.raises(UserError, match=r"cut\.mp4"):
            _read(path, backend)


@given(
    gaps=st.lists(st.floats(0.005, 3.0), min_size=0, max_size=50),
    length=st.floats(0.005, 3.0),
    interval=st.floats(0.05, 5.0),
)
def test_sampled_times(gaps: list[float], length: float, interval: float) -> None:
    starts = np.concatenate([[0.0], np.cumsum(gaps)])
    end = float(starts[-1]) + length
    times, indices = sample(starts, end, interval)
    np.testing.assert_allclose(times, interval * np.arange(len(times)), atol=1e-5)
    assert indices == sorted(indices)
    assert times[-1] < end + 1e-5
    assert times[-1] + interval > starts[-1] - 1e-5
    distance = np.abs(starts[indices] - times)
    nearest = np.abs(starts[None] - np.array(times)[:, None]).min(axis=1)
    np.testing.assert_allclose(distance, nearest, atol=1e-3)


def sampled(starts: list[float], end: float, interval: float) -> tuple[list[float], list[int]]:
    return sample(np.array(starts), end, interval)


def test_of_two_frames_as_near_the_earlier_is_taken() -> None:
    assert sampled([0.0, 1.0, 2.0], 3.0, 0.5) == ([0.0, 0.5, 1.0, 1.5, 2.0, 2.5], [0, 0, 1, 1, 2, 2])
    # Up to half a millisecond is as near.
    for second, taken in ((1.0, 0), (0.9996, 0), (0.999, 1)):
        assert sampled([0.0, second], 1.2, 0.5)[1][1] == taken


def test_a_time_has_a_frame_from_just_before_the_first_to_the_middle_of_the_last() -> None:
    # Frames of a second: half of one before the first, and half of the last.
    assert sampled([2.0, 3.0], 4.0, 0.5)[0] == [1.5, 2.0, 2.5, 3.0, 3.5]
    assert sampled([2.0, 3.0], 4.0, 1.0)[0] == [2.0, 3.0]
    # Shorter frames have a quarter of a second before them, or half the interval.
    assert sampled([0.2, 0.3], 0.4, 1.0)[0] == [0.0]
    assert sampled([0.3, 0.4, 0.5], 0.6, 0.1)[0] == [0.3, 0.4, 0.5]
    # One with no time near it has the nearest to its start.
    assert sampled([1.3], 1.4, 1.0) == ([1.0], [0])
    assert sampled([0.0], 3.0, 1.0) == ([0.0, 1.0], [0, 0])
