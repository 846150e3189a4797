"""Many videos at once: one pass for several extractors, batches across videos, and what is done stays done."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from src.commands.features import features
from src.data.feature_stores import failures_file, feature_store
from src.data.store import Store
from src.errors import UserError
from src.features.computed import Computed, ComputedStreams, pace
from src.features.extractor import Extractor, Frames
from src.videos.frames import Crop, Longest, View, read_views, sample_fps
from tests.compose import compose
from tests.narrators.videos import number_of, write_sound, write_video

PROJECT = Path(__file__).parents[2]
CROP = Crop(32, 32, "bicubic")


class Numbers(Extractor):
    """Two vectors a window: the mean colour of each half. Fails on pictures that are dark."""

    vectors = 2

    def __init__(self, fails_below: float = -1.0) -> None:
        self.calls: list[int] = []
        self.fails_below = fails_below

    @property
    def identity(self) -> dict[str, Any]:
        return {"extractor": "numbers", "sha256": None}

    @property
    def frames(self) -> int:
        return 4

    def __call__(self, windows: Frames) -> NDArray[np.float32]:
        self.calls.append(len(windows))
        halves = windows.reshape(len(windows), 2, -1, 3).mean(axis=2)
        if halves.min() < self.fails_below:
            raise RuntimeError("too dark")
        return halves.astype(np.float32)


def computed(videos: Path, extractor: Extractor, seconds: float = 1.0, batch_size: int = 3, **more: Any) -> Computed:
    settings = {"crop": CROP, "take": "fps", "workers": 2} | more
    return Computed(str(videos), extractor, 3, seconds, batch_size, "pyav", **settings)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Videos of 1 to 4 seconds at several rates, one of them none."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for number, rate in enumerate((10, 15, 24, 30)):
        write_video(folder / f"v{number}.mp4", [n / rate for n in range(rate * (number + 1))])
    return folder


@given(
    gaps=st.lists(st.integers(1, 2000), min_size=1, max_size=40),
    first=st.integers(0, 500),
    rate=st.sampled_from([0.5, 1, 15, 16, 24, 25, 30]),
)
def test_frames_are_those_of_the_fps_filter(gaps: list[int], first: int, rate: float) -> None:
    ticks = first + np.cumsum([0, *gaps[:-1]])
    end = int(ticks[-1]) + gaps[-1]
    times, indices = sample_fps(ticks / 1000, end / 1000, 1 / rate)
    assert len(times) == len(indices) == max(floor(end * rate / 1000 + 0.5), 1)
    for k, index in enumerate(indices):
        # ⌊t · rate + 1/2⌋ <= k in whole numbers: 2 · ticks · rate + 1000 < 2000 · (k + 1)
        before = [n for n, tick in enumerate(ticks.tolist()) if 2 * tick * rate + 1000 < 2000 * (k + 1)]
        assert index == max(before, default=0)


def test_a_frame_a_clip_is_the_one_before_its_middle(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [n / 30 for n in range(150)])
    taken = [number_of(frame.pixels) for _, frame in read_views(path, [View(2.0, "fps", Longest(4096))], "pyav")]
    assert taken == [29, 89, 149]  # 5 s: the count is rounded half up


def test_several_views_in_one_pass_are_those_of_each_alone(folder: Path) -> None:
    views = [View(1 / 30, "fps", CROP), View(1.0, "fps", Longest(4096)), View(0.5, "nearest", Longest(64))]
    together: dict[int, list[Any]] = {0: [], 1: [], 2: []}
    for number, frame in read_views(folder / "v1.mp4", views, "pyav"):
        together[number].append(frame)
    for number, view in enumerate(views):
        alone = [frame for _, frame in read_views(folder / "v1.mp4", [view], "pyav")]
        assert [frame[:2] for frame in alone] == [frame[:2] for frame in together[number]]
        assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(alone, together[number], strict=True))


@pytest.mark.parametrize("size", [(96, 192), (192, 96), (1024, 4), (62, 36)])
def test_the_middle_of_a_picture_is_seen_whatever_its_shape(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    path = write_video(tmp_path / "a.mp4", [0.0, 0.1], width, height)
    for offset in ("cut", "round"):
        view = View(0.1, "fps", Crop(226, 224, "bilinear", offset))  # type: ignore[arg-type]
        assert {frame.pixels.shape for _, frame in read_views(path, [view], "pyav")} == {(224, 224, 3)}


def test_batches_go_across_videos_and_change_nothing(folder: Path) -> None:
    alone = {f"v{number}": computed(folder, Numbers(), batch_size=1)(f"v{number}") for number in range(4)}
    assert [len(each) for each in alone.values()] == [2, 4, 6, 8]
    extractor = Numbers()
    layout = computed(folder, extractor, batch_size=4, parts=str(folder.parent / "parts"))
    assert layout.compute(sorted(alone)) == {}
    assert extractor.calls == [4, 4, 4]  # ten windows, the last batch filled up
    assert all(np.array_equal(layout(video), each) for video, each in alone.items())


def test_what_is_done_stays_done_unless_its_file_changed(folder: Path) -> None:
    parts = str(folder.parent / "parts")
    computed(folder, Numbers(), parts=parts).compute(["v0", "v1"])
    again = computed(folder, Numbers(), parts=parts)
    again.compute(["v0", "v1", "v2"])
    assert sum(again.extractor.calls) == 3  # type: ignore[attr-defined]
    write_video(folder / "v0.mp4", [n / 10 for n in range(20)])
    changed = computed(folder, Numbers(), parts=parts)
    changed.compute(["v0", "v1"])
    assert len(changed("v0")) == 4
    # Damaged, or of other settings: computed again.
    (part,) = [path for path in Path(parts).rglob("*.npz") if path.stem == "v1"]
    part.write_bytes(part.read_bytes()[:50])
    assert not changed.is_kept("v1")
    assert not computed(folder, Numbers(), parts=parts, seconds=2.0).is_kept("v2")


def test_streams_side_by_side_decode_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from src.features import pipeline

    passes: list[Path] = []

    def counted(path: Path, *rest: Any) -> Any:
        passes.append(path)
        return read_views(path, *rest)

    monkeypatch.setattr(pipeline, "read_views", counted)
    parts = str(folder.parent / "parts")
    slow = computed(folder, Numbers(), seconds=1.0, parts=f"{parts}.a")
    fast = computed(folder, Numbers(), seconds=2.0, parts=f"{parts}.b")
    both = ComputedStreams([slow, fast], normalize=True)
    assert both.compute(["v1", "v3"]) == {}
    assert len(passes) == 2
    joined = both("v3")
    assert len(passes) == 2
    assert joined.shape == (4, 6)
    assert np.linalg.norm(joined[:, :3], axis=1) == pytest.approx(1, abs=1e-3)
    assert np.array_equal(both.of_file(folder / "v3.mp4"), joined)


def test_what_cannot_be_read_is_listed_and_the_others_are_done(folder: Path) -> None:
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("no video")
    write_sound(folder / "sound.mp4")
    write_video(folder / "cut.mp4", [n / 30 for n in range(90)], options={"movflags": "faststart"})
    content = (folder / "cut.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(content[: len(content) // 2])
    path = folder.parent / "store.h5"
    layout = computed(folder, Numbers(), parts=str(folder.parent / "parts"))
    with pytest.raises(UserError, match=r"4 of 8 videos have no features, such as cut: .* The others are done"):
        feature_store(path, layout, layout.files, "max", 128, "here", partly=True)
    assert sorted(Store(path)) == ["v0", "v1", "v2", "v3"]
    lines = [json.loads(line) for line in failures_file(path).read_text().splitlines()]
    assert [line["video"] for line in lines] == ["cut", "empty", "sound", "text"]
    assert "is empty (0 bytes)" in lines[1]["reason"]
    with pytest.raises(UserError, match="4 of 8 videos have no features"):
        feature_store(folder.parent / "whole.h5", layout, layout.files, "max", 128, "here")
    assert not (folder.parent / "whole.h5").exists()
    for name in ("empty", "text", "cut", "sound"):
        (folder / f"{name}.mp4").unlink()
    mended = computed(folder, Numbers(), parts=str(folder.parent / "parts"))
    feature_store(path, mended, mended.files, "max", 128, "here", partly=True)
    assert not failures_file(path).exists()


def test_a_network_that_fails_on_one_video_does_not_fail_on_others(folder: Path) -> None:
    write_video(folder / "dark.mp4", [n / 10 for n in range(20)], width=192, height=96)
    extractor = Numbers(fails_below=200.0)
    failures = computed(folder, extractor, batch_size=64).compute(["v0", "v3", "dark"])
    assert set(failures) == {"v0", "v3", "dark"}
    assert all("cannot be computed (too dark)" in why for why in failures.values())


def test_odd_videos(tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    steady = [n / 25 for n in range(50)]
    write_video(folder / "portrait.mp4", steady, 64, 128)
    write_video(folder / "flat.mp4", steady, 192, 4)
    write_video(folder / "turned.mp4", steady, rotation=90)
    write_video(folder / "odd.mkv", steady, 65, 47)
    varying = [0.0, 0.04, 0.5, 0.52, 0.54, 1.3, 1.31, 1.96]
    write_video(folder / "varying.mkv", varying)
    write_video(folder / "ten_bit.mp4", steady, pixels="yuv420p10le")
    write_video(folder / "one.mp4", [0.0])
    layout = computed(folder, Numbers())
    failures = layout.compute(layout.files)
    assert failures == {}
    counts = {video: len(layout(video)) for video in layout.files}
    assert counts == dict.fromkeys(("portrait", "flat", "turned", "odd", "varying", "ten_bit"), 4) | {"one": 2}


def test_shards_fill_one_folder_of_which_the_store_is_made(folder: Path, tmp_path: Path) -> None:
    ours = [f"videos={folder}", "collection=mine", f"paths.stores={tmp_path}/stores"]
    for shard in ("0/2", "1/2"):
        features(compose(*ours, f"shard={shard}", config="features"))
    store = tmp_path / "stores" / "mine" / "features.pixels.max128.h5"
    assert not store.exists()
    assert len(list(store.parent.rglob("*.npz"))) == 4
    features(compose(*ours, config="features"))
    assert sorted(Store(store)) == ["v0", "v1", "v2", "v3"]


def test_missing_weights_end_it_before_any_work(folder: Path, tmp_path: Path) -> None:
    ours = [f"videos={folder}", "collection=mine", f"paths.stores={tmp_path}/stores", f"paths.features={tmp_path}"]
    for choice, file in (("i3d_charades", "rgb_charades.pt"), ("slowfast_clip_videos", "SLOWFAST_8x8_R50.pkl")):
        with pytest.raises(UserError, match=rf"no weights at .*{file}: get them from https://"):
            features(compose(*ours, f"features={choice}", config="features"))


def test_the_pace_is_measured(folder: Path) -> None:
    assert 0 < pace(computed(folder, Numbers()), folder / "v0.mp4") < 100


def _run(folder: Path, stores: Path, after: float) -> bool:
    """Compute the features of a folder; kill the run after so many seconds. Whether it was still running then."""
    command = [sys.executable, "-m", "src.features", f"videos={folder}", "collection=c", f"paths.stores={stores}"]
    process = subprocess.Popen(
        [*command, f"paths.outputs={stores}/outputs"],
        cwd=PROJECT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    return False


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_kills(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(40):
        write_video(folder / f"v{number:02}.mp4", [n / 10 for n in range(60 + 5 * number)])
    started = time.monotonic()
    assert not _run(folder, tmp_path / "whole", 600)
    length = time.monotonic() - started
    moments = random.Random(0)
    kills = 0
    while kills < 20:
        if _run(folder, tmp_path / "broken", moments.uniform(0.3, 0.95) * length):
            kills += 1
            continue
        for path in (tmp_path / "broken" / "c").glob("*.h5"):
            path.unlink()
    assert not _run(folder, tmp_path / "broken", 600)
    name = Path("c") / "features.pixels.max128.h5"
    whole, broken = Store(tmp_path / "whole" / name), Store(tmp_path / "broken" / name)
    assert list(whole) == list(broken)
    assert all(np.array_equal(whole[video]["features"], broken[video]["features"]) for video in whole)
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes()
