"""Files as people have them: cut without coding anew, late, odd or broken; frames and times as a player shows them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from benchmarks.reading import Cut, differences, write_cut
from src.data.records import Narratives
from src.errors import UserError
from src.features.computed import Computed
from src.narrators.narrator import Failure, Reading
from src.videos import process
from src.videos.collection import Item
from src.videos.frames import Backend, Frame, duration_of, read_frames
from tests.features.test_videos import Mean
from tests.narrators.colours import READING, Colours
from tests.narrators.videos import number_of, picture, write_video

BACKENDS: list[Backend] = ["decord", "pyav"]
RATE = 30


def _read(path: Path, backend: Backend = "pyav", interval: float = 1.0) -> list[Frame]:
    return list(read_frames(path, interval, backend, 4096))


def _numbers(path: Path, backend: Backend, interval: float = 1.0) -> dict[float, int]:
    return {frame.time: number_of(frame.pixels) for frame in _read(path, backend, interval)}


def _coded(
    path: Path,
    frames: int = 120,
    codec: str = "libx264",
    sound: str | None = None,
    late: float = 0.0,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    skip: int = 0,
) -> Path:
    """Numbered pictures, the first one at `late` seconds, and sound from 0 s on; without the first `skip` packets."""
    with av.open(str(path), "w", options=container or {}) as target:
        stream: Any = target.add_stream(codec, rate=RATE, options=options or {})
        stream.width, stream.height, stream.pix_fmt = 192, 96, "yuv420p"
        heard: Any = None if sound is None else target.add_stream(sound, rate=48000, layout="mono")
        packets = []
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number, 192, 96), format="rgb24")
            frame.pts, frame.time_base = number + round(late * RATE), Fraction(1, RATE)
            packets += stream.encode(frame)
        packets += stream.encode()
        packets = packets[skip:]
        if heard is not None:
            heard.codec_context.open(strict=False)
            size = heard.codec_context.frame_size or 1024
            for number in range(int((frames / RATE + late) * 48000 / size)):
                quiet = av.AudioFrame.from_ndarray(np.zeros((1, size), np.float32), format="fltp", layout="mono")
                quiet.sample_rate, quiet.pts, quiet.time_base = 48000, number * size, Fraction(1, 48000)
                packets += heard.encode(quiet)
            packets += heard.encode()
        for packet in sorted(packets, key=lambda packet: float((packet.dts or 0) * packet.time_base)):
            target.mux(packet)
    return path


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds with a key frame every 48 frames."""
    return write_video(tmp_path_factory.mktemp("long") / "long.mp4", [n / RATE for n in range(360)])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv", ".ts"])
def test_a_stream_copied_cut_has_its_own_frames(long: Path, tmp_path: Path, ending: str, backend: Backend) -> None:
    path = write_cut(Cut(long, 2.5, 6.2, ending, None), tmp_path / f"cut{ending}")
    # Where a container cannot hide frames, the cut begins at the key frame before.
    first = 75 if ending in (".mp4", ".mov") else 48
    numbers = _numbers(path, backend)
    assert numbers == {float(second): first + RATE * second for second in range(len(numbers))}
    assert len(numbers) == round((6.2 * RATE - first) / RATE)
    assert duration_of(path) == pytest.approx(6.2 - first / RATE, abs=0.2)
    assert differences(path, 0.25, backend) == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cut_in_which_decord_would_hang(tmp_path: Path, backend: Backend) -> None:
    """One key frame, far before the cut: between good videos, all of which are narrated."""
    whole = _coded(tmp_path / "whole.mp4", 240, options={"g": "250", "bf": "2"})
    cut = write_cut(Cut(whole, 4.9, 7.4, ".mp4", None), tmp_path / "cut.mp4")
    good = write_video(tmp_path / "good.mp4", [0.0, 0.5, 1.0])
    items = [Item("a", good), Item("b", cut), Item("c", good)]
    outcomes = list(Colours().outcomes(items, Reading(backend, 1344, 2)))
    assert [type(outcome) for outcome in outcomes] == [Narratives] * 3
    assert isinstance(outcomes[1], Narratives)
    assert [text.split(",")[0] for text in outcomes[1].texts] == [f"Frame {147 + 15 * n}" for n in range(6)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("ending", "sound"), [(".mp4", "aac"), (".mkv", "libopus"), (".mov", "aac"), (".ts", "aac")])
def test_a_picture_has_the_time_at_which_a_player_shows_it(
    tmp_path: Path, ending: str, sound: str, backend: Backend
) -> None:
    """Sound comes first; time is counted from there, and before the first picture there are no frames."""
    path = _coded(tmp_path / f"late{ending}", sound=sound, late=2.0)
    numbers = _numbers(path, backend)
    # In a transport stream sound begins with the encoder's run-up.
    early = 1 if ending == ".ts" else 0
    assert list(numbers)[:4] == [2.0, 3.0, 4.0, 5.0]
    assert list(numbers.values())[:4] == [0, 30 - early, 60 - early, 90 - early]
    assert duration_of(path) == pytest.approx(6.0, abs=0.05)
    assert differences(path, 0.5, backend) == []


def test_features_of_the_time_before_the_first_picture_are_those_of_the_first_picture(tmp_path: Path) -> None:
    path = _coded(tmp_path / "late.mp4", sound="aac", late=2.0)
    features = Computed(str(tmp_path), Mean(), 4, 1.0, 2, "pyav", 64)(path.stem)
    assert len(features) == 6
    first = _read(path)[0].pixels.mean(axis=(0, 1))
    assert features[0, :3] == pytest.approx(first, abs=1)
    assert features[1, :3] == pytest.approx(first, abs=1)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("late", [2.2, 100.0])
@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".ts", ".flv"])
def test_a_clock_that_starts_late_is_no_loss(tmp_path: Path, ending: str, late: float, backend: Backend) -> None:
    codec = "flv" if ending == ".flv" else "libx264"
    path = _coded(tmp_path / f"a{ending}", codec=codec, late=late)
    assert _numbers(path, backend) == {0.0: 0, 1.0: 30, 2.0: 60, 3.0: 90}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_file_whose_clock_starts_late_can_be_cut_off_still(tmp_path: Path, backend: Backend) -> None:
    path = _coded(tmp_path / "a.mkv", 360, late=100.0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=r"cut off: its frames end at \d\.\d s of 12\.0 s"):
        _read(path, backend)


def test_a_video_shorter_than_the_interval_has_a_frame_wherever_it_begins(tmp_path: Path) -> None:
    path = _coded(tmp_path / "short.mp4", 9, sound="aac", late=2.2)
    assert _numbers(path, "pyav") == {2.0: 0}


_SIMPLE = {"preset": "ultrafast", "g": "24", "bf": "2"}
_CODED = [
    (".mp4", "libx264", _SIMPLE),
    (".mp4", "libx264", {"g": "24", "bf": "3", "x264-params": "open-gop=1:keyint=24:min-keyint=12:scenecut=0"}),
    (".mp4", "libx264", {"x264-params": "intra-refresh=1:keyint=24"}),
    (".ts", "libx264", {"x264-params": "intra-refresh=1:keyint=24"}),
    (".mkv", "libx264", {"g": "24", "bf": "3", "x264-params": "b-pyramid=normal:keyint=24"}),
    (".mp4", "libx265", {"preset": "ultrafast", "x265-params": "log-level=error:keyint=24:bframes=3:open-gop=1"}),
    (".ts", "libx265", {"preset": "ultrafast", "x265-params": "log-level=error:keyint=24:bframes=3:open-gop=1"}),
    (".mp4", "libsvtav1", {"preset": "12", "g": "24"}),
    (".webm", "libsvtav1", {"preset": "12", "g": "24"}),
    (
        ".webm",
        "libvpx",
        {"deadline": "realtime", "cpu-used": "8", "g": "24", "auto-alt-ref": "1", "lag-in-frames": "16"},
    ),
    (
        ".webm",
        "libvpx-vp9",
        {"deadline": "realtime", "cpu-used": "8", "g": "24", "auto-alt-ref": "1", "lag-in-frames": "16"},
    ),
    (".mpg", "mpeg2video", {"g": "12", "bf": "2"}),
    (".ts", "mpeg2video", {"g": "12", "bf": "2"}),
    (".avi", "mpeg4", {"g": "24", "bf": "2"}),
    (".avi", "libx264", _SIMPLE),
    (".mov", "mjpeg", {"strict": "-1"}),
]


@pytest.fixture
def scheduling() -> Iterator[None]:
    """libsvtav1, run as root, leaves its process in real-time scheduling, in which browsers of later tests hang."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    yield
    os.sched_setscheduler(0, policy, parameters)


@pytest.mark.usefixtures("scheduling")
@pytest.mark.parametrize(("ending", "codec", "options"), _CODED)
def test_every_reader_takes_the_frames_of_a_full_decode(
    tmp_path: Path, ending: str, codec: str, options: dict[str, str]
) -> None:
    path = _coded(tmp_path / f"a{ending}", 96, codec, options=options)
    expected = {0.5 * half: 15 * half for half in range(7)}
    for backend in BACKENDS:
        assert _numbers(path, backend, 0.5) == expected, backend
        # Far apart: most of the file is left out.
        assert list(_numbers(path, backend, 2.5).values()) == [0, 75], backend


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("ending", [".webm", ".mkv"])
def test_a_file_that_states_no_length(tmp_path: Path, ending: str, backend: Backend) -> None:
    codec = "libvpx" if ending == ".webm" else "libx264"
    path = _coded(tmp_path / f"live{ending}", codec=codec, container={"live": "1"})
    with av.open(str(path)) as container:
        assert not container.duration
    assert _numbers(path, backend) == {0.0: 0, 1.0: 30, 2.0: 60, 3.0: 90}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("sound", [None, "aac"])
def test_a_stream_that_begins_between_key_frames(tmp_path: Path, sound: str | None, backend: Backend) -> None:
    """Its first pictures cannot be decoded: there are none, and the others keep their times."""
    path = _coded(tmp_path / "a.ts", 150, sound=sound, options={"g": "60", "bf": "2"}, skip=12)
    begin = 0.0 if sound else 12 / RATE
    for frame in _read(path, backend):
        assert frame.time >= 60 / RATE - begin - 0.1
        assert abs(number_of(frame.pixels) / RATE - begin - frame.time) < 0.1
    assert len(_read(path, backend)) >= 3
    assert duration_of(path) == pytest.approx(150 / RATE - begin, abs=0.1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_size_that_changes_in_mid_stream(tmp_path: Path, backend: Backend) -> None:
    """Frames keep the size of the first one, so that they fit one batch."""
    small, large = _coded(tmp_path / "small.ts", 60), tmp_path / "large.ts"
    write_video(large, [2 + n / RATE for n in range(60)], width=384, height=192, ticks=RATE)
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    frames = _read(both, backend)
    assert {frame.pixels.shape for frame in frames} == {(96, 192, 3)}
    numbers = np.array([number_of(frame.pixels) for frame in frames])
    assert np.abs(numbers - [0, 30, 0, 30]).max() <= 3  # the clocks of the two are not in step
    assert Computed(str(both), Mean(), 4, 1.0, 2, backend, 64)("both").shape == (4, 4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cover_is_no_video(tmp_path: Path, backend: Backend) -> None:
    path = tmp_path / "covered.mkv"
    with av.open(str(_coded(tmp_path / "plain.mp4"))) as source, av.open(str(path), "w") as target:
        cover: Any = target.add_stream("mjpeg", rate=1, options={"strict": "-1"})
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        copied = target.add_stream_from_template(source.streams.video[0])
        image = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        target.mux(cover.encode(image))
        target.mux(cover.encode())
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copied
                target.mux(packet)
    assert _numbers(path, backend) == {0.0: 0, 1.0: 30, 2.0: 60, 3.0: 90}


def test_a_hole_in_a_stream_is_damage_and_no_other_picture(tmp_path: Path) -> None:
    path = _coded(tmp_path / "a.mkv", 240, options={"g": "30"})
    content = bytearray(path.read_bytes())
    middle = slice(len(content) // 3, 2 * len(content) // 3)
    content[middle] = os.urandom(middle.stop - middle.start)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.mkv is (damaged at|cut off)"):
        _read(path)


def _only_worker() -> int:
    """The id of the process that waits for the next file."""
    (worker,) = process._idle
    return worker._process.pid


def _ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_decoder_that_makes_no_progress_is_ended(long: Path, tmp_path: Path) -> None:
    _read(long)
    stuck = _only_worker()
    os.kill(stuck, signal.SIGSTOP)
    good = write_video(tmp_path / "good.mp4", [0.0, 0.5, 1.0])
    items = [Item("a", long), Item("b", good)]
    outcomes = list(Colours().outcomes(items, Reading("pyav", 1344, 2, patience=1.0)))
    assert outcomes[0] == Failure("a", f"{long} cannot be read: its decoder made no progress for 1 s", of_file=True)
    assert isinstance(outcomes[1], Narratives)
    assert _ended(stuck)


def test_a_decoder_that_dies_takes_nothing_with_it(long: Path) -> None:
    _read(long)
    dying = _only_worker()
    frames = read_frames(long, 0.1, "pyav", 4096)
    next(frames)
    os.kill(dying, signal.SIGSEGV)
    with pytest.raises(UserError, match=r"cannot be read: its decoder died \(SIGSEGV\)"):
        list(frames)
    assert len(_read(long)) == 12
    # One that dies while it waits harms no file at all.
    os.kill(_only_worker(), signal.SIGKILL)
    time.sleep(0.2)
    assert len(_read(long)) == 12


def test_a_reader_that_leaves_off_early_leaves_a_process_for_the_next(long: Path) -> None:
    _read(long)
    before = _only_worker()
    frames = read_frames(long, 0.1, "pyav", 4096)
    assert next(frames).time == 0
    frames.close()  # type: ignore[attr-defined]
    assert _only_worker() == before
    assert len(_read(long)) == 12


def test_the_process_ends_with_whoever_asked_even_if_that_was_killed(long: Path) -> None:
    program = (
        "import sys, os, signal; from pathlib import Path; from src.videos import process, frames\n"
        f"list(frames.read_frames(Path({str(long)!r}), 1.0, 'pyav', 64))\n"
        "print(process._idle[0]._process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    pid = int(done.stdout)
    deadline = time.monotonic() + 60
    while not _ended(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _ended(pid)


def test_both_readers_narrate_alike(long: Path, tmp_path: Path) -> None:
    cut = write_cut(Cut(long, 3.3, 9.0, ".mp4", None), tmp_path / "cut.mp4")
    said = []
    for backend in BACKENDS:
        (outcome,) = Colours().outcomes([Item("cut", cut)], Reading(backend, 1344, 2))
        assert isinstance(outcome, Narratives)
        said.append([text.split(",")[0] for text in outcome.texts])
    assert said[0] == said[1]
    assert READING.patience > 0


@pytest.mark.slow
def test_random_cuts_of_real_videos(shared: Path) -> None:
    from benchmarks.reading import cuts

    assert cuts(shared / "data" / "videos", count=100, seed=1) == 0
