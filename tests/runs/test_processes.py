"""The processes of one run end together, keep one state, and say one reason."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from src import ending
from src.commands.prepare import make_stores
from src.commands.train import train
from src.models.tea import TEA
from src.runs.checkpoints import LAST
from src.runs.processes import FAILED
from tests.compose import compose
from tests.runs.interrupted import Group, at, differences, stopped
from tests.synthetic import write_small

PROJECT = Path(__file__).parents[2]
KILL, TERM, CTRL_C = signal.SIGKILL, signal.SIGTERM, signal.SIGINT
BOUND = 15


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two steps an epoch in each of two processes, of a video-only network with dropout."""
    few = write_small(tmp_path_factory.mktemp("small"), videos=4, queries=2, dim=8)
    parts = ["merger=none", "paragraph=none", "loader.batch_size=2", "data.tests=[test_iid]", "trainer.max_epochs=2"]
    overrides = ["+experiment=charades_cd_i3d", *few, *parts, "optimizer.lr=0.01"]
    make_stores(compose(*overrides, config="prepare"))
    return [*overrides, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]


Configured = Callable[..., DictConfig]


@pytest.fixture(scope="module")
def configured(small: list[str]) -> Configured:
    composed: dict[tuple[str, ...], DictConfig] = {}

    def config(folder: Path, *settings: str) -> DictConfig:
        """Composed once: what is forked off need not do it again."""
        if settings not in composed:
            composed[settings] = compose(*small, *settings, "folder=???", config="train")
        cfg = composed[settings].copy()
        cfg.folder = str(folder)
        return cfg

    return config


def run(cfg: DictConfig, log: Path, **more: object) -> Group:
    return Group(lambda: train(cfg), log, **more)  # type: ignore[arg-type]


def status(folder: Path) -> dict[str, str]:
    content: dict[str, str] = json.loads((folder / "status.json").read_text())
    return content


def steps(folder: Path) -> int:
    try:
        return int(torch.load(folder / LAST, weights_only=True)["global_step"])
    except FileNotFoundError:
        return 0


def said(log: Path) -> str:
    """What was said last."""
    return log.read_text().splitlines()[-1]


@pytest.mark.parametrize("asked", [pytest.param([0, 1], id="all"), pytest.param([1], id="one", marks=pytest.mark.slow)])
def test_processes_that_are_asked_to_end_keep_a_state_and_go_on_to_the_same_result(
    configured: Configured, tmp_path: Path, asked: list[int]
) -> None:
    whole, broken = configured(tmp_path / "whole"), configured(tmp_path / "broken")

    def when(rank: int) -> Callable[[str], signal.Signals | None]:
        return at("before step", TERM) if rank in asked else lambda _: None

    assert run(whole, tmp_path / "log").wait(120) == [0, 0], (tmp_path / "log").read_text()
    assert run(broken, tmp_path / "ended", passed=when).wait(120) == [1, 1]
    assert said(tmp_path / "ended").startswith("error: asked to end (SIGTERM): state kept, continue with ckpt_path=")
    assert status(tmp_path / "broken")["reason"].startswith("asked to end (SIGTERM): state kept")
    assert steps(tmp_path / "broken") == 1
    assert run(broken, tmp_path / "log").wait(120) == [0, 0], (tmp_path / "log").read_text()
    assert differences(tmp_path / "broken", tmp_path / "whole") == []


@pytest.mark.slow
def test_twenty_groups_that_are_asked_to_end_at_random_moments(
    configured: Configured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "PATIENCE", 10.0)
    chance, folder = random.Random(0), tmp_path / "run"
    cfg = configured(folder, "trainer.max_epochs=100000", "callbacks.last.every_n_steps=3")
    slowest = 0.0
    for trial in range(20):
        log, before = tmp_path / f"log{trial}", steps(folder)
        group = run(cfg, log)
        while steps(folder) == before:
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 2))
        sent = time.monotonic()
        group.send(TERM)
        if trial % 2:  # from the group, and forwarded
            group.send(TERM)
        assert group.wait(BOUND) == [1, 1], log.read_text()
        slowest = max(slowest, time.monotonic() - sent)
        assert said(log).startswith("error: asked to end (SIGTERM): state kept"), log.read_text()
        assert steps(folder) > before
    print(f"slowest of 20: {slowest:.2f} s")


@pytest.mark.slow
def test_a_run_of_which_one_process_was_killed_ends_and_goes_on_to_the_same_result(
    configured: Configured, tmp_path: Path
) -> None:
    settings = ["callbacks.last.every_n_steps=1"]
    whole, broken = configured(tmp_path / "whole", *settings), configured(tmp_path / "broken", *settings)
    assert run(whole, tmp_path / "log").wait(120) == [0, 0]
    for rank in (1, 0):
        log = tmp_path / f"log{rank}"
        killed = run(
            broken, log, passed=lambda here, rank=rank: at("before step", KILL, 2) if here == rank else at("", TERM)
        )
        statuses = killed.wait(120)
        assert rank == 0 or said(log).startswith("error: a process of the run is gone"), log.read_text()
        assert statuses[rank] == -KILL
        assert statuses[1 - rank] == 1
    assert run(broken, tmp_path / "log").wait(120) == [0, 0]
    assert differences(tmp_path / "broken", tmp_path / "whole") == []


@pytest.mark.slow
def test_processes_begin_with_equal_weights_and_draw_noise_of_their_own(
    configured: Configured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = TEA.training_step

    def noting(self: TEA, *arguments: object) -> object:
        weights = torch.cat([weight.flatten() for weight in self.network.parameters()]).detach().numpy()
        noise = torch.get_rng_state().numpy()
        np.savez(tmp_path / f"{self.global_rank}-{self.global_step}.npz", weights=weights, noise=noise)
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(TEA, "training_step", noting)
    assert run(configured(tmp_path / "run", "test=false"), tmp_path / "log").wait(120) == [0, 0]
    for step in range(4):
        first, second = (np.load(tmp_path / f"{rank}-{step}.npz") for rank in (0, 1))
        assert (first["weights"] == second["weights"]).all()
        assert not (first["noise"] == second["noise"]).all()


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_a_mistake_in_one_process_is_said_once_and_last(
    configured: Configured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    original = TEA.training_step

    def broken(self: TEA, *arguments: object) -> object:
        if self.global_rank == rank:
            for weight in self.network.parameters():
                weight.data.fill_(torch.nan)
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(TEA, "training_step", broken)
    log = tmp_path / "log"
    assert run(configured(tmp_path / "run"), log).wait(120) == [1, 1], log.read_text()
    assert said(log).startswith("error: the loss is not finite in epoch 0"), log.read_text()
    assert log.read_text().count("the loss is not finite") == 1
    assert "Traceback" not in log.read_text()
    assert status(tmp_path / "run")["reason"].startswith("the loss is not finite")


@pytest.mark.slow
def test_a_run_that_waits_for_a_process_in_vain_ends_with_its_reason(
    configured: Configured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a broken connection is not noticed: the first one never meets the others again."""
    monkeypatch.setattr(ending, "PATIENCE", 0.5)
    folder, log = tmp_path / "run", tmp_path / "log"

    def hangs(rank: int) -> Callable[[str], signal.Signals | None]:
        def passed(point: str) -> signal.Signals | None:
            if point == "before step" and rank == 0:
                (folder / FAILED).write_text("video V01 is damaged")
                time.sleep(1000)
            return KILL if point == "before step" else None

        return passed

    assert run(configured(folder), log, passed=hangs).wait(60) == [1, -KILL]
    assert said(log) == "error: video V01 is damaged"
    assert status(folder)["reason"] == "video V01 is damaged"


def test_a_split_that_is_too_small_is_refused_before_the_first_step(configured: Configured, tmp_path: Path) -> None:
    cfg = configured(tmp_path / "run", "trainer.devices=9")
    os.environ.pop("LOCAL_RANK", None)
    assert stopped(lambda: train(cfg), lambda _: None, tmp_path / "log") == 1
    assert said(tmp_path / "log").startswith("error: the training split has 8 queries, which 9 processes cannot share")
    assert not (tmp_path / "run" / LAST).exists()


@pytest.mark.slow
def test_interrupting_says_so(configured: Configured, tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert run(configured(tmp_path / "run"), log, passed=lambda _: at("before step", CTRL_C)).wait(60) == [1, 1]
    assert status(tmp_path / "run")["reason"] == "interrupted (Ctrl-C)"


SLURM = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}


@pytest.mark.parametrize("asked", [signal.SIGUSR1, pytest.param(TERM, marks=pytest.mark.slow)])
def test_a_job_of_slurm_keeps_its_state_in_its_folder_alone_and_is_queued_again(
    configured: Configured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: signal.Signals
) -> None:
    here = tmp_path / "here"
    programs = here / "bin"
    programs.mkdir(parents=True)
    (programs / "scontrol").write_text(f'#!/bin/sh\necho "$@" > {programs}/asked\n')
    (programs / "scontrol").chmod(0o755)
    monkeypatch.chdir(here)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    one = ["trainer.devices=1", "trainer.strategy=auto", "loader.batch_size=4"]
    first, other, whole = (configured(tmp_path / name, *one) for name in ("first", "other", "whole"))
    log = tmp_path / "log"
    assert stopped(lambda: train(first), at("before step", asked), log) == 1
    assert (programs / "asked").read_text().split() == ["requeue", "7"]
    assert status(tmp_path / "first")["reason"].startswith(f"asked to end ({asked.name}): state kept")
    assert status(tmp_path / "first")["reason"].endswith("queued again")
    assert sorted(path.name for path in here.rglob("*")) == ["asked", "bin", "scontrol"]
    # What another program has left there is nobody's state.
    (here / "hpc_ckpt_1.ckpt").write_bytes((tmp_path / "first" / LAST).read_bytes())
    assert stopped(lambda: train(other), lambda _: None, log) == 0, log.read_text()
    assert stopped(lambda: train(first), lambda _: None, log) == 0, log.read_text()
    for name in SLURM:
        monkeypatch.delenv(name)
    assert stopped(lambda: train(whole), lambda _: None, log) == 0, log.read_text()
    assert differences(tmp_path / "other", tmp_path / "whole") == []
    assert differences(tmp_path / "first", tmp_path / "whole") == []


def test_a_job_whose_launcher_queues_it_again_keeps_its_state_first(configured: Configured, tmp_path: Path) -> None:
    def queues(number: int, frame: object) -> None:
        sys.exit(-1)

    def job() -> None:
        signal.signal(signal.SIGUSR2, queues)
        train(configured(tmp_path / "run", "trainer.devices=1", "trainer.strategy=auto"))

    assert stopped(job, at("before step", signal.SIGUSR2), tmp_path / "log") == 1
    assert status(tmp_path / "run")["reason"].startswith("asked to end (SIGUSR2), queued again: state kept")
    assert steps(tmp_path / "run") == 1


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        (SLURM, "SLURM_NTASKS=1 processes are started, but trainer.devices=2 and trainer.num_nodes=1 make 2"),
        ({**SLURM, "SLURM_NTASKS_PER_NODE": "1"}, "trainer.devices=2: You set `devices=2` in Lightning, but"),
        ({**SLURM, "SLURM_NTASKS": "2"}, "You set `--ntasks=2`"),
    ],
)
def test_other_processes_than_the_trainer_has_are_refused(
    configured: Configured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], named: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert stopped(lambda: train(configured(tmp_path / "run")), lambda _: None, tmp_path / "log") == 1
    assert named in said(tmp_path / "log")
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.slow
def test_torchrun_needs_one_folder_and_trains_in_it(small: list[str], tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    command = [*torchrun, "-m", "src.train"]
    quick = [*small, "trainer.max_epochs=1", f"paths.outputs={tmp_path}"]

    def launched(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *quick, *arguments], cwd=PROJECT, capture_output=True, text=True, check=False)

    refused = launched()
    assert refused.returncode != 0
    assert refused.stderr.count("error: processes that torchrun or SLURM starts need one folder") == 1
    done = launched(f"hydra.run.dir={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    assert status(tmp_path / "run")["state"] == "finished"
    assert len((tmp_path / "run" / "predictions" / "test_iid.jsonl").read_text().splitlines()) == 8


@pytest.mark.slow
def test_a_job_of_several_processes_that_fails_does_not_hang_its_sweep(small: list[str], tmp_path: Path) -> None:
    stores = next(Path(each.split("=", 1)[1]) for each in small if each.startswith("paths.stores="))
    shutil.copytree(stores, tmp_path / "bad")
    (path,) = (tmp_path / "bad").rglob("*i3d*.h5")
    with h5py.File(path, "r+") as file:
        file["features"][...] = np.nan
    done = subprocess.run(
        [
            *(sys.executable, "-m", "src.train", "-m", *small, f"paths.stores={tmp_path}/bad,{stores}"),
            *("loader.batch_size=1", f"hydra.sweep.dir={tmp_path}/sweep", "hydra.sweep.subdir=${hydra.job.num}"),
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 1
    assert "1 of 2 jobs finished" in done.stdout, done.stderr
    (listed,) = (line for line in done.stderr.splitlines() if line.startswith("failed: 0: "))
    assert "is not finite" in listed
    alone = ["loader.batch_size=1", f"hydra.run.dir={tmp_path}/alone"]
    subprocess.run([sys.executable, "-m", "src.train", *small, *alone], cwd=PROJECT, capture_output=True, check=True)
    assert differences(tmp_path / "sweep" / "1", tmp_path / "alone") == []
