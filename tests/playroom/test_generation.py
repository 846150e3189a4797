"""A Playroom on the disk: the same again from the same seed, read like published data, whole or not there."""

from __future__ import annotations

import filecmp
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from src.data.splits import load_split, split_names
from src.errors import UserError
from src.playroom.actions import play
from src.playroom.drawing import draw
from src.playroom.generation import generate
from src.playroom.splits import world_of
from src.playroom.world import FPS, HEIGHT, WIDTH
from tests.compose import data_config
from tests.playroom.sizes import OVERRIDES, SMALL

PROJECT = Path(__file__).parents[2]
SIZE = sum(SMALL.values())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "playroom"
    generate(folder, SMALL, seed=0, workers=2)
    return folder


def test_the_readers_of_published_annotations_read_it(made: Path) -> None:
    data = data_config("playroom", made.parent)
    moments = {split: load_split(data, split).moments for split in split_names(data)}
    assert list(moments) == ["train", "val", "test_iid", "test_ood", "novel_composition", "novel_word"]
    videos = {moment.video for each in moments.values() for moment in each}
    assert videos == {file.stem for file in (made / "videos").iterdir()}
    assert all(kind in ("NOUN", "VERB", "ADJ") for moment in moments["novel_word"] for kind, _ in moment.novel)
    assert all(kind in ("v-n", "a-n") for moment in moments["novel_composition"] for kind, _ in moment.novel)


def test_its_videos_are_h264_of_20_to_60_seconds_and_show_the_world(made: Path) -> None:
    for file in sorted((made / "videos").iterdir()):
        with av.open(str(file)) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.width, stream.height) == ("h264", WIDTH, HEIGHT)
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert 20 <= len(frames) / FPS <= 60
        world = world_of(0, file.stem)
        drawn = [draw(world) for _ in play(world)]
        assert len(drawn) == len(frames)
        assert np.abs(np.stack(drawn).astype(int) - np.stack(frames)).mean() < 6


def test_the_same_seed_gives_the_same_bytes_however_many_processes_draw(made: Path, tmp_path: Path) -> None:
    generate(tmp_path / "again", SMALL, seed=0, workers=1)
    names = [str(file.relative_to(made)) for file in made.rglob("*") if file.is_file()]
    assert filecmp.cmpfiles(made, tmp_path / "again", names, shallow=False) == (names, [], [])
    assert len(names) == SIZE + 7


def test_one_that_is_there_is_kept_and_another_is_not_written_over_it(made: Path) -> None:
    before = (made / "train.json").stat().st_mtime_ns
    generate(made, SMALL, seed=0, workers=1)
    assert (made / "train.json").stat().st_mtime_ns == before
    with pytest.raises(UserError, match=r"holds the Playroom .*remove it, or give folder="):
        generate(made, SMALL, seed=1, workers=1)
    with pytest.raises(UserError, match="holds something that is no Playroom"):
        generate(made.parent, SMALL, seed=0, workers=1)


@pytest.mark.parametrize("count", [0, -3, "many"])
def test_an_impossible_size_is_refused(tmp_path: Path, count: Any) -> None:
    with pytest.raises(UserError, match=f"size.val={count}: give the number of its videos, 1 or more"):
        generate(tmp_path / "playroom", {**SMALL, "val": count}, seed=0, workers=1)
    with pytest.raises(UserError, match="a Playroom has train, val, test_iid"):
        generate(tmp_path / "playroom", {"train": 3}, seed=0, workers=1)
    assert not list(tmp_path.iterdir())


def command(folder: Path, *overrides: str, limit: int | None = None) -> subprocess.Popen[str]:
    def restrict() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    arguments = [sys.executable, "-m", "src.playroom", f"folder={folder}", f"paths.outputs={folder.parent}/outputs"]
    return subprocess.Popen(
        [*arguments, "hydra.job_logging.root.handlers=[console]", *overrides],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=restrict,
    )


def test_a_disk_that_takes_no_more_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    job = command(tmp_path / "playroom", *OVERRIDES, limit=20_000)
    _, errors = job.communicate(timeout=120)
    assert job.returncode == 1
    assert errors.strip().splitlines()[-1].startswith(f"error: {tmp_path}/playroom cannot be written (File too large)")
    assert [path.name for path in tmp_path.iterdir() if "playroom" in path.name] == []


def test_a_place_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match="cannot be written"):
        generate(tmp_path / "file" / "playroom", SMALL, seed=0, workers=1)
    if os.geteuid() != 0:
        tmp_path.chmod(0o500)
        with pytest.raises(UserError, match="Permission denied"):
            generate(tmp_path / "playroom", SMALL, seed=0, workers=1)


def test_a_killed_run_leaves_no_playroom_and_the_next_one_finishes(tmp_path: Path) -> None:
    folder = tmp_path / "playroom"
    job = command(folder, *OVERRIDES)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".playroom.part/videos/*.mp4")) and time.monotonic() < deadline:
        time.sleep(0.02)
    job.send_signal(signal.SIGKILL)
    job.communicate()
    assert not folder.exists()
    generate(folder, SMALL, seed=0, workers=2)
    assert len(list((folder / "videos").iterdir())) == SIZE
    assert not (tmp_path / ".playroom.part").exists()
