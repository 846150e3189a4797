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

from src.checkpoints import LAST
from src.errors import UserError
from src.preparation import make_stores
from src.training import fit_and_test
from tests.compose import CONF, compose
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
    assert "failed: -1: paragraph.network.alpha is -1: a weight is 0 or more" in output
    assert "1 of 2 jobs finished" in output
    assert "Traceback" not in output
    assert metrics(tmp_path).keys() == {"0.5"}


def test_a_finished_run_of_another_configuration_is_kept(small: list[str], tmp_path: Path) -> None:
    run = [*small, f"folder={tmp_path}", "trainer.max_epochs=1"]
    value = fit_and_test(compose(*run, config="train"))
    assert fit_and_test(compose(*run, "logger=none", config="train")) == value
    before = (tmp_path / "metrics.json").read_bytes()
    with pytest.raises(UserError, match="holds a finished run of another optimizer, seed"):
        fit_and_test(compose(*run, "seed=1", "optimizer.lr=0.1", config="train"))
    assert (tmp_path / "metrics.json").read_bytes() == before


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "sweep").glob("*.yaml")))
def test_every_value_of_a_sweep_composes(name: str) -> None:
    import yaml

    params = yaml.safe_load((CONF / "sweep" / f"{name}.yaml").read_text())["hydra"]["sweeper"]["params"]
    for key, values in params.items():
        for value in str(values).split(","):
            assert compose("+experiment=charades_cd_i3d", f"{key}={value}", config="train")
