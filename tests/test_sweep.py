"""Multiruns: broken off, failing and run again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from src.commands.prepare import make_stores
from src.commands.train import train
from src.errors import UserError
from src.runs.checkpoints import LAST
from tests.compose import CONF, compose, jobs
from tests.synthetic import write_small

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    overrides = ["+experiment=charades_cd_i3d", *write_small(tmp_path_factory.mktemp("small"))]
    make_stores(compose(*overrides, config="prepare"))
    return [*overrides, "callbacks.last.every_n_steps=1"]


def sweep(small: list[str], place: Path, *overrides: str) -> subprocess.Popen[str]:
    """Three values of α; the folders of the jobs are named by it."""
    named = ["hydra.sweep.subdir=${paragraph.network.alpha}", f"hydra.sweep.dir={place}"]
    return subprocess.Popen(
        [sys.executable, "-m", "src.train", "-m", *small, *named, *overrides],
        cwd=PROJECT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def metrics(place: Path) -> dict[str, dict[str, float]]:
    return {path.parent.name: json.loads(path.read_text()) for path in place.glob("*/metrics.json")}


@pytest.mark.slow
def test_a_killed_sweep_ends_as_one_that_was_not(small: list[str], tmp_path: Path) -> None:
    jobs = ["+sweep=alpha", "paragraph.network.alpha=0,0.5,1", "seed=0", "trainer.max_epochs=3"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = sweep(small, whole, *jobs)
    assert "3 of 3 jobs finished" in process.communicate()[0]
    assert process.returncode == 0

    process = sweep(small, killed, *jobs)
    while not (killed / "0.5" / LAST).exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert metrics(killed).keys() == {"0"}
    first = (killed / "0" / "metrics.json").stat().st_mtime_ns

    process = sweep(small, killed, *jobs)
    output = process.communicate()[0]
    assert "finished before" in output
    assert (killed / "0" / "metrics.json").stat().st_mtime_ns == first
    assert metrics(killed) == metrics(whole)


def test_a_job_that_fails_stops_no_other_and_is_listed(small: list[str], tmp_path: Path) -> None:
    process = sweep(small, tmp_path, "paragraph.network.alpha=-1,0.5", "trainer.max_epochs=1")
    output = process.communicate()[0]
    assert process.returncode == 1
    assert "failed: -1: paragraph.network.alpha=-1: give a number, 0 or more" in output
    assert "1 of 2 jobs finished" in output
    assert "Traceback" not in output
    assert metrics(tmp_path).keys() == {"0.5"}


def test_a_finished_run_of_another_configuration_is_kept(small: list[str], tmp_path: Path) -> None:
    run = [*small, f"folder={tmp_path}", "trainer.max_epochs=1"]
    value = train(compose(*run, config="train"))
    assert train(compose(*run, "logger=none", config="train")) == value
    before = (tmp_path / "metrics.json").read_bytes()
    with pytest.raises(
        UserError, match=r"holds a finished run of another configuration: optimizer.lr is .* and 0.1 here; seed is 0"
    ):
        train(compose(*run, "seed=1", "optimizer.lr=0.1", config="train"))
    assert (tmp_path / "metrics.json").read_bytes() == before


@pytest.mark.slow
def test_a_sweep_keeps_a_finished_job_of_another_configuration_and_knows_one_that_was_moved(
    small: list[str], tmp_path: Path
) -> None:
    train(compose(*small, f"folder={tmp_path}/elsewhere", "trainer.max_epochs=1", config="train"))
    (tmp_path / "sweep").mkdir()
    (tmp_path / "elsewhere").rename(tmp_path / "sweep" / "0.5")
    job = ["paragraph.network.alpha=0.5", "trainer.max_epochs=1"]

    process = sweep(small, tmp_path / "sweep", *job)
    output = process.communicate()[0]
    assert "finished before" in output
    assert process.returncode == 0, output

    process = sweep(small, tmp_path / "sweep", *job, "seed=1")
    output = process.communicate()[0]
    assert process.returncode == 1
    assert "refused: 0.5: " in output
    assert "holds a finished run of another configuration: seed is 0 there and 1 here" in output
    assert json.loads((tmp_path / "sweep" / "0.5" / "status.json").read_text())["state"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "sweep").glob("*.yaml")))
def test_every_value_of_a_sweep_composes(name: str) -> None:
    if name == "optuna":
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="the extra `optuna` is not installed")
    for job in jobs([f"+sweep={name}"]):
        experiment = [] if any(word.startswith("+experiment=") for word in job) else ["+experiment=charades_cd_i3d"]
        assert compose(*experiment, *job, config="train")


@pytest.mark.slow
def test_a_sweep_of_a_table_has_a_folder_for_each_experiment_and_recipe(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "src.train", "-m", "+sweep=table2", "seed=0"],
        cwd=PROJECT,
        env=os.environ | {"TEA_DATA": str(tmp_path), "TEA_OUTPUTS": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 1
    failed = [line.split(": ")[1] for line in process.stderr.splitlines() if "no annotation file" in line]
    folders = [
        f"charades_{split}_i3d/+recipe={recipe},seed=0"
        for split in ("cd", "cg")
        for recipe in ("emb", "emb_identical", "tea")
    ]
    assert failed == folders


@pytest.mark.slow
def test_a_search_takes_no_test_split_survives_a_failure_and_goes_on_where_it_was(
    small: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="the extra `optuna` is not installed")
    fixed = ["predictor.network.highlight_weight=5", "optimizer.lr=0.001", "trainer.max_epochs=1"]
    # The trials are 0.3, -1 and 0.5.
    jobs = ["+sweep=optuna", *fixed, "paragraph.network.alpha=choice(-1,0.3,0.5)", "hydra.sweeper.sampler.seed=1"]

    process = sweep(small, tmp_path, *jobs, "hydra.sweeper.n_trials=2")
    process.communicate()
    assert metrics(tmp_path).keys() == {"0.3"}

    process = sweep(small, tmp_path, *jobs, "hydra.sweeper.n_trials=3")
    output = process.communicate()[0]
    assert process.returncode == 1
    assert "failed: -1: paragraph.network.alpha=-1" in output
    assert output.count("finished before") == 1
    found = metrics(tmp_path)
    assert found.keys() == {"0.3", "0.5"}
    assert not any("test" in name for values in found.values() for name in values)
    best = max(found, key=lambda alpha: found[alpha]["best/val/mIoU"])
    assert yaml.safe_load((tmp_path / "optimization_results.yaml").read_text()) == {
        "name": "optuna",
        "best_params": {"paragraph.network.alpha": float(best)},
        "best_value": found[best]["best/val/mIoU"],
    }
