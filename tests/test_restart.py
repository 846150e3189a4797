"""Training that was broken off continues to the very weights and metrics of training that was not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from src.commands.prepare import make_stores
from src.commands.train import train
from src.errors import UserError
from src.runs.checkpoints import LAST, PREVIOUS
from tests.compose import compose
from tests.synthetic import write_small

PROJECT = Path(__file__).parents[1]
EPOCHS, STEPS = 3, 6


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The overrides of a run of 3 epochs of 6 steps, with dropout, that keeps every state."""
    small = write_small(tmp_path_factory.mktemp("small"))
    every = ["callbacks.last.every_n_steps=1", "loader.batch_size=4", f"trainer.max_epochs={EPOCHS}"]
    overrides = ["+experiment=charades_cd_i3d", *small, *every]
    make_stores(compose(*overrides, config="prepare"))
    return overrides


def result(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    state = torch.load(folder / LAST, weights_only=True)
    return state["state_dict"], json.loads((folder / "metrics.json").read_text())


def require_same(folder: Path, other: Path) -> None:
    (weights, metrics), (expected_weights, expected_metrics) = result(folder), result(other)
    assert metrics == expected_metrics
    assert weights.keys() == expected_weights.keys()
    assert all(torch.equal(weights[name], expected_weights[name]) for name in weights)


@pytest.fixture(scope="module")
def undisturbed(run: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    train(compose(*run, f"folder={folder}", config="train"))
    return folder


def step(folder: Path) -> int:
    """The step of the newest state; 0 where there is none."""
    try:
        return int(torch.load(folder / LAST, weights_only=True)["global_step"])
    except (OSError, RuntimeError, EOFError):
        return 0


def broken_off(run: list[str], folder: Path, least: int, how: signal.Signals, **variables: str) -> int:
    """Train in a process that is sent a signal once `least` steps are done; returns its exit status."""
    arguments = [*run, f"hydra.run.dir={folder}", f"folder={folder}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "src.train", *arguments],
        cwd=PROJECT,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and step(folder) < least:
        time.sleep(0.01)
    process.send_signal(how)
    return process.wait()


@pytest.mark.parametrize(
    "least",
    [
        pytest.param(2, id="in the first epoch", marks=pytest.mark.slow),
        pytest.param(STEPS, id="between epochs", marks=pytest.mark.slow),
        pytest.param(STEPS + 3, id="in the second", marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_ends_as_if_it_had_not_been(run: list[str], undisturbed: Path, tmp_path: Path, least: int) -> None:
    assert broken_off(run, tmp_path, least, signal.SIGKILL) == -signal.SIGKILL
    assert least <= step(tmp_path) < EPOCHS * STEPS
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "running"
    train(compose(*run, f"ckpt_path={tmp_path}", "folder=elsewhere", config="train"))
    require_same(tmp_path, undisturbed)
    assert not Path("elsewhere").exists()


def test_a_run_that_is_asked_to_end_keeps_its_state_and_queues_again(run: list[str], tmp_path: Path) -> None:
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    scontrol.chmod(0o755)
    folder = tmp_path / "run"
    seldom = [*run, "trainer.max_epochs=400", "callbacks.last.every_n_steps=5"]
    path = f"{scontrol.parent}:{os.environ['PATH']}"
    assert broken_off(seldom, folder, 10, signal.SIGTERM, SLURM_JOB_ID="7", PATH=path) == 1
    assert (tmp_path / "asked").read_text().split() == ["requeue", "7"]
    state = json.loads((folder / "status.json").read_text())
    assert state["state"] == "failed"
    assert "SIGTERM" in state["reason"]


def test_a_damaged_state_is_reported_and_the_one_before_it_taken(
    run: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = compose(*run, f"folder={tmp_path}", "trainer.max_epochs=3", "+trainer.limit_train_batches=4", config="train")
    train(cfg)
    shutil.copy(tmp_path / LAST, tmp_path / PREVIOUS)
    content = (tmp_path / LAST).read_bytes()
    (tmp_path / LAST).write_bytes(content[: len(content) // 2])
    # A run whose folder holds a state continues from it without being told, unless it is finished.
    (tmp_path / "status.json").write_text('{"state": "running"}')
    train(compose(*run, f"folder={tmp_path}", "+trainer.limit_train_batches=4", config="train"))
    assert f"{tmp_path / LAST} cannot be read as a checkpoint" in caplog.text
    assert f"continuing from {tmp_path / PREVIOUS}" in caplog.text
    (tmp_path / LAST).write_bytes(b"")
    (tmp_path / "status.json").write_text('{"state": "running"}')
    with pytest.raises(UserError, match="cannot be read as a checkpoint"):
        train(compose(*run, f"folder={tmp_path}", config="train"))


def test_without_a_run_there_is_nothing_to_continue(run: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run under .* has a checkpoint to continue from"):
        train(compose(*run, "ckpt_path=last", "name=another", f"folder={tmp_path}/new", config="train"))
    assert not (tmp_path / "new").exists()
