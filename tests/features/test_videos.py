"""From video files to a store of features, for a data set and for anybody's videos."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from src.commands.features import features
from src.commands.prepare import make_stores
from src.data.store import Store
from src.errors import UserError
from src.features.computed import Computed
from src.features.extractor import Extractor, Frames
from src.features.pixels import CHANNELS, Pixels
from src.playroom.generation import generate
from tests.compose import compose
from tests.playroom.sizes import SMALL

PROJECT = Path(__file__).parents[2]


class Mean(Extractor):
    """The mean colour of each snippet, and how many frames it was shown."""

    identity = {"extractor": "mean"}  # type: ignore[assignment]  # noqa: RUF012
    frames = 4  # type: ignore[assignment]

    def __call__(self, windows: Frames) -> np.ndarray:
        colours = windows.mean(axis=(1, 2, 3))
        return np.concatenate((colours, np.full((len(windows), 1), windows.shape[1])), axis=1).astype(np.float32)


def layout(videos: Path, seconds: float = 1.0, dim: int = 4, batch_size: int = 2, longest: int = 64) -> Computed:
    return Computed(str(videos), Mean(), dim, seconds, batch_size, "decord", longest)


def test_each_snippet_is_made_of_its_own_frames(videos: Path) -> None:
    features = layout(videos)("three")
    assert features.shape == (3, 4)
    assert features[0] == pytest.approx([220, 0, 0, 4], abs=6)
    assert features[1] == pytest.approx([0, 0, 220, 4], abs=6)


def test_a_last_part_is_a_snippet_from_half_its_length_and_a_short_video_has_one(videos: Path) -> None:
    assert len(layout(videos, seconds=2.0)("three")) == 2
    assert len(layout(videos, seconds=2.5)("three")) == 1
    assert len(layout(videos)("short")) == 1


def test_batches_and_the_size_of_frames_change_no_snippet(videos: Path) -> None:
    expected = layout(videos)("three")
    assert np.array_equal(layout(videos, batch_size=16)("three"), expected)
    assert layout(videos, longest=32)("three") == pytest.approx(expected, abs=4)


def test_what_does_not_fit_is_said(videos: Path) -> None:
    with pytest.raises(UserError, match=r"features of size 4, but features\.dim is 5"):
        layout(videos, dim=5)("three")
    with pytest.raises(UserError, match="no videos"):
        layout(videos / "nowhere").files  # noqa: B018
    with pytest.raises(UserError, match="all above 0"):
        layout(videos, seconds=0)
    assert "four" not in layout(videos)


def test_pixels_tell_colour_and_motion_and_where(videos: Path) -> None:
    extractor = Pixels(rows=6, columns=8, frames=4, cell=8)
    features = Computed(str(videos), extractor, 48 * CHANNELS, 1.0, 16, "decord", 256)("three")
    red, blue, flicker = features.reshape(3, 48, CHANNELS)
    assert (red[:, 0] > 0.6).all()
    assert (blue[:, 2] > 0.6).all()
    assert red[:, 3:10].argmax(axis=1).tolist() != blue[:, 3:10].argmax(axis=1).tolist()
    assert flicker[:, 12].min() > 5 * max(red[:, 12].max(), blue[:, 12].max())
    left = np.zeros((1, 4, 48, 64, 3), np.uint8)
    left[..., :8, :] = 255
    cells = extractor(left).reshape(6, 8, CHANNELS)
    assert (cells[:, 0, 0] > 0.9).all()
    assert (cells[:, 1:, 0] < -0.9).all()
    assert np.isfinite(cells).all()


def test_a_data_set_gets_its_store_like_any_other(tmp_path: Path) -> None:
    generate(tmp_path / "playroom", SMALL, seed=0, workers=2)
    ours = ["data=playroom", "features=pixels", "text=learned", "merger=none", "paragraph=none"]
    cfg = compose(*ours, f"paths.data={tmp_path}", config="prepare")
    make_stores(cfg)
    store = Store(Path(cfg.features.store))
    assert len(list(store)) == 12
    assert store.dim == cfg.features.dim
    before = store.path.stat().st_mtime_ns
    make_stores(cfg)
    assert store.path.stat().st_mtime_ns == before
    # What is computed once is kept when the videos go.
    shutil.rmtree(tmp_path / "playroom" / "videos")
    make_stores(cfg)
    assert store.path.stat().st_mtime_ns == before


def test_a_folder_of_ones_own_videos(videos: Path, tmp_path: Path) -> None:
    ours = [f"videos={videos}", "collection=mine", f"paths.stores={tmp_path}/stores"]
    features(compose(*ours, config="features"))
    store = Store(tmp_path / "stores" / "mine" / "features.pixels.max128.h5")
    assert {video: len(store[video]["features"]) for video in store} == {"three": 3, "short": 1}
    with pytest.raises(UserError, match="not computed from frames"):
        features(compose(*ours, "features=i3d", config="features"))


def test_a_damaged_video_ends_the_command_with_one_line_once_the_others_are_done(videos: Path, tmp_path: Path) -> None:
    (videos / "broken.mp4").write_bytes(b"no video")
    places = [f"videos={videos}", "collection=mine", f"paths.stores={tmp_path}/stores"]
    job = subprocess.run(
        [sys.executable, "-m", "src.features", *places, f"paths.outputs={tmp_path}/outputs"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert job.returncode == 1
    last = job.stderr.strip().splitlines()[-1]
    assert last.startswith(f"error: 1 of 3 videos have no features, such as broken: {videos}/broken.mp4 cannot be read")
    (store,) = (tmp_path / "stores" / "mine").glob("*.h5")
    assert sorted(Store(store)) == ["short", "three"]
