"""The same narrator on a local Ray cluster of two workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from src.commands.narrate import narrate
from src.data.narratives import read_narratives
from src.errors import UserError
from src.narrators.cluster import cluster_outcomes
from src.narrators.journal import failures_file, read_failures
from src.narrators.narrator import Failure, Reading
from src.videos.collection import collect
from src.videos.frames import Pixels
from tests.compose import compose
from tests.narrators.colours import Colours
from tests.narrators.videos import number_of, write_video


def _run(*overrides: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "src.narrate", *overrides],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_two_workers_write_what_one_run_writes(tmp_path: Path, llava: Path) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(1, 9):
        write_video(folder / f"v{number}.mp4", [n / 5 for n in range(5 * number)])
    settings = [
        *(f"videos={folder}", "narrator=hf", "narrator.name=tiny", f"narrator.model={llava}"),
        *("narrator.dtype=float32", "narrator.generation.max_new_tokens=6", f"paths.outputs={tmp_path}"),
    ]
    whole, spread = tmp_path / "whole.jsonl", tmp_path / "spread.jsonl"
    narrate(compose(*settings, f"output={whole}", config="narrate"))
    (folder / "bad.mp4").write_text("no video")
    run = _run(*settings, f"output={spread}", "ray.workers=2", "ray.gpus=0")
    assert run.returncode == 1
    assert "1 of 9 videos failed, such as bad" in run.stderr
    assert set(read_failures(failures_file(spread))) == {"bad"}
    # In the order in which they were done.
    assert sorted(read_narratives(spread), key=lambda one: one.video) == list(read_narratives(whole))

    run = _run(*settings, f"output={tmp_path / 'n.jsonl'}", "narrator.model=/nowhere", "ray.workers=2", "ray.gpus=0")
    assert run.returncode == 1
    assert "error: narrator /nowhere cannot be loaded" in run.stderr
    run = _run(*settings, f"output={tmp_path / 'm.jsonl'}", "ray.workers=2")
    assert "2 workers with 1 GPUs each, but the cluster has 0" in run.stderr


class Deadly(Colours):
    """Kills its process at frame 10, as the system does where memory runs out."""

    def narrate(self, frames: Sequence[Pixels]) -> list[str]:
        if any(number_of(frame) == 10 for frame in frames):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().narrate(frames)


@pytest.mark.slow
def test_a_video_that_kills_its_workers_fails_and_the_others_are_narrated(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(1, 7):
        write_video(folder / f"v{number}.mp4", [n / 10 for n in range(15 if number == 3 else 6)])
    config = {"_target_": "tests.narrators.test_cluster.Deadly"}
    outcomes = list(cluster_outcomes(config, collect(folder, None), Reading("pyav", 1344, 2), workers=2, gpus=0))
    failed = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    assert [(one.video, one.reason) for one in failed] == [
        ("v3", "its worker died 3 times, perhaps for want of memory")
    ]
    assert len(outcomes) == 6


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_a_cluster_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError, match=f"no Ray cluster answers at RAY_ADDRESS={address}") as caught:
        next(cluster_outcomes({}, [], Reading("pyav", 1344, 2), workers=1, gpus=0))
    assert "\n" not in str(caught.value)
