"""A run that is stopped at any point and by any signal, and started again, leaves what an unbroken one leaves."""

from __future__ import annotations

import functools
import json
import math
import random
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.errors import HydraException
from omegaconf import DictConfig

from src.commands.prepare import make_stores
from src.commands.train import train
from src.errors import UserError
from src.runs.callbacks import WholeCheckpoints
from src.runs.checkpoints import BEST, LAST, PREVIOUS
from tests.compose import compose
from tests.runs.interrupted import at, contents, differences, stopped
from tests.synthetic import write_small

KILL, TERM, CTRL_C = signal.SIGKILL, signal.SIGTERM, signal.SIGINT

WAYS = {
    "by default": [],
    "accumulating": ["+trainer.accumulate_grad_batches=2", "callbacks.last.every_n_steps=1"],
    "validating often": ["+trainer.val_check_interval=2", "callbacks.last.every_n_steps=1"],
    "by steps": ["trainer.max_epochs=null", "trainer.max_steps=5", "callbacks.last.every_n_steps=2"],
}
"""Settings that move the boundaries."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three steps an epoch of a video-only network with dropout."""
    few = write_small(tmp_path_factory.mktemp("small"), videos=4, queries=2, dim=8)
    parts = ["merger=none", "paragraph=none", "loader.batch_size=3", "data.tests=[test_iid]", "trainer.max_epochs=2"]
    overrides = ["+experiment=charades_cd_i3d", *few, *parts, "trainer.log_every_n_steps=1", "optimizer.lr=0.01"]
    make_stores(compose(*overrides, config="prepare"))
    return overrides


@pytest.fixture(scope="module")
def unbroken(small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The folder of a run with these settings that nothing disturbed."""
    runs: dict[tuple[str, ...], Path] = {}

    def run(*settings: str) -> Path:
        if settings not in runs:
            runs[settings] = tmp_path_factory.mktemp("unbroken") / "run"
            assert run_to(runs[settings], small, *settings) == 0
        return runs[settings]

    return run


@functools.cache
def composed(*overrides: str) -> DictConfig:
    return compose(*overrides, config="train")


def run_to(
    folder: Path, small: list[str], *settings: str, passed: Callable[[str], signal.Signals | None] = lambda _: None
) -> int:
    cfg = composed(*small, *settings, "folder=???").copy()
    cfg.folder = str(folder)
    return stopped(lambda: train(cfg), passed)


STOPS = [
    ("before step", 2, KILL),
    ("after step", 2, TERM),
    ("before validation step", 1, KILL),
    ("after validation step", 1, CTRL_C),
    ("after best", 1, KILL),
    ("before checkpoint", 2, KILL),
    ("after epoch end", 1, KILL),
    ("after step", 1, TERM),
    ("after step", 2, CTRL_C),
    ("before validation step", 1, TERM),
    ("before fit", 1, KILL),
    ("after fit", 1, KILL),
    ("before test step", 1, KILL),
    ("after test step", 1, CTRL_C),
    ("before metrics", 1, TERM),
    ("after metrics", 1, KILL),
]
"""One after another, from a run's beginning to its end: what comes next, how often, and how it is stopped there."""


def require_equal_after(
    stops: list[tuple[str, int, signal.Signals]], folder: Path, small: list[str], expected: Path, *settings: str
) -> None:
    for number, (point, count, how) in enumerate(stops):
        run_to(folder, small, *settings, passed=at(point, how, count))
        if number % 4 == 3:  # a folder can be moved at any time
            moved = folder.with_name(f"moved{number}")
            shutil.move(folder, moved)
            folder = moved
    assert run_to(folder, small, *settings) == 0
    assert differences(folder, expected) == []


def test_a_run_stopped_at_every_boundary_ends_as_one_that_was_not(
    small: list[str], unbroken: Callable[..., Path], tmp_path: Path
) -> None:
    require_equal_after(STOPS, tmp_path / "run", small, unbroken())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", [KILL, TERM, CTRL_C])
@pytest.mark.slow
def test_every_boundary_by_every_signal_with_other_boundaries(
    small: list[str], unbroken: Callable[..., Path], tmp_path: Path, way: str, how: signal.Signals
) -> None:
    stops = [(point, count, how) for point, count, _ in STOPS]
    require_equal_after(stops, tmp_path / "run", small, unbroken(*WAYS[way]), *WAYS[way])


def test_a_run_of_so_many_steps_goes_on_from_the_end_of_an_epoch_as_often_as_it_is_stopped_there(
    small: list[str], unbroken: Callable[..., Path], tmp_path: Path
) -> None:
    stops = [("after epoch end", 1, KILL), ("after step", 1, KILL), ("after step", 1, KILL)]
    require_equal_after(stops, tmp_path / "run", small, unbroken(*WAYS["by steps"]), *WAYS["by steps"])


@pytest.mark.parametrize("way", list(WAYS)[1:])
def test_a_state_is_kept_only_where_training_can_go_on_from(
    small: list[str], unbroken: Callable[..., Path], tmp_path: Path, way: str
) -> None:
    stops = [("after step", 2, TERM), ("after step", 3, KILL)]
    require_equal_after(stops, tmp_path / "run", small, unbroken(*WAYS[way]), *WAYS[way])


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_run_killed_a_hundred_times_ends_as_one_that_was_not(
    small: list[str], unbroken: Callable[..., Path], tmp_path: Path
) -> None:
    chance = random.Random(0)
    settings, folder, kills = ["trainer.max_epochs=40", "callbacks.last.every_n_steps=2"], tmp_path / "run", 0
    while kills < 100:
        left = chance.randrange(10, 45)

        def passed(_: str) -> signal.Signals | None:
            nonlocal left
            left -= 1
            return KILL if left == 0 else None

        status = run_to(folder, small, *settings, passed=passed)
        assert status in (0, -KILL)
        kills += status != 0
        if status == 0:
            assert differences(folder, unbroken(*settings)) == []
            folder = tmp_path / f"run{kills}"
    assert run_to(folder, small, *settings) == 0
    assert differences(folder, unbroken(*settings)) == []


def kept_on(folder: Path, small: list[str], *settings: str) -> float:
    """Train here on, as the user would who names a folder."""
    return train(compose(*small, *settings, f"ckpt_path={folder}", "folder=elsewhere", config="train"))


def refused(folder: Path, small: list[str], *settings: str) -> str:
    with pytest.raises(UserError) as caught:
        kept_on(folder, small, *settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_moved_run_is_trained_for_longer_as_one_in_its_place(
    small: list[str], unbroken: Callable[..., Path], tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    shutil.copytree(unbroken(), here)
    shutil.copytree(unbroken(), there / "copied")
    before = json.loads((here / "metrics.json").read_text())
    for folder in (here, there / "copied"):
        kept_on(folder, small, "trainer.max_epochs=3")
    assert differences(here, there / "copied") == []
    after = json.loads((here / "metrics.json").read_text())
    assert after["best/val/mIoU"] >= before["best/val/mIoU"]
    assert not any(math.isnan(value) for value in after.values())
    # The learning rate goes on along the longer schedule.
    weights, longer = (torch.load(folder / LAST, weights_only=True) for folder in (unbroken(), here))
    assert longer["global_step"] == longer["lr_schedulers"][0]["total_iters"] == 9
    names = weights["state_dict"]
    assert any(not torch.equal(names[name], longer["state_dict"][name]) for name in names)


def test_a_finished_run_that_is_named_stays_as_it_is(
    small: list[str], unbroken: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(unbroken(), folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    value = kept_on(folder, small)
    assert value == json.loads((folder / "metrics.json").read_text())["best/val/mIoU"]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert "optimizer.lr is 0.01 there and 0.1 here" in refused(folder, small, "optimizer.lr=0.1")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("seed=7", "seed is 0 there and 7 here"),
        ("optimizer.lr=0.1", "optimizer.lr is 0.01 there and 0.1 here"),
        ("loader.batch_size=4", "loader.batch_size is 3 there and 4 here"),
        ("+trainer.accumulate_grad_batches=2", "trainer.accumulate_grad_batches is None there and 2 here"),
        ("callbacks.best.monitor=val/R1@0.5", "callbacks.best.monitor is val/mIoU there and val/R1@0.5 here"),
        ("top=3", "top is 10 there and 3 here"),
        ("features.layout.folder=${paths.features}/${data.videos}/another", "features.layout.folder is"),
    ],
)
def test_a_run_continues_under_its_own_settings_only(
    small: list[str], unbroken: Callable[..., Path], tmp_path: Path, setting: str, said: str
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(unbroken(), folder)
    (folder / "status.json").write_text('{"state": "running"}')
    files = contents(folder)
    assert said in refused(folder, small, setting)
    with pytest.raises(UserError, match="is a checkpoint of another configuration"):
        train(compose(*small, setting, f"folder={folder}", config="train"))
    assert contents(folder) == files


def test_a_state_of_other_processes_is_refused(small: list[str], unbroken: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run_to(folder, small, passed=at("after epoch end", KILL, 1))
    state = torch.load(folder / LAST, weights_only=True)
    (last,) = (kept for kept in state["callbacks"].values() if "random" in kept)
    last["random"] *= 2
    torch.save(state, folder / LAST)
    assert "is of 2 processes, and 1 are here" in refused(folder, small)


def test_what_changes_no_number_may_change(small: list[str], unbroken: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run_to(folder, small, passed=at("after epoch end", KILL, 1))
    free = ["loader.workers=1", "loader.eval_batch_size=5", "logger=none", "name=another"]
    kept_on(folder, small, *free, "callbacks.last.every_n_steps=1", "trainer.log_every_n_steps=2")
    found, right = (json.loads((run / "metrics.json").read_text()) for run in (folder, unbroken()))
    assert found == pytest.approx(right, rel=1e-6)  # sums of other batches


def test_a_state_in_a_file_takes_its_best_weights_to_the_new_folder(
    small: list[str], unbroken: Callable[..., Path], tmp_path: Path
) -> None:
    train(compose(*small, f"ckpt_path={unbroken() / LAST}", f"folder={tmp_path / 'a'}", config="train"))
    assert (tmp_path / "a" / "metrics.json").read_bytes() == (unbroken() / "metrics.json").read_bytes()
    with pytest.raises(UserError, match="holds no state of training to continue from"):
        train(compose(*small, f"ckpt_path={unbroken() / BEST}", f"folder={tmp_path / 'b'}", config="train"))
    alone = tmp_path / "alone.ckpt"
    shutil.copyfile(unbroken() / LAST, alone)
    with pytest.raises(UserError, match="ended without a validation"):
        train(compose(*small, f"ckpt_path={alone}", f"folder={tmp_path / 'c'}", config="train"))
    longer = train(
        compose(*small, f"ckpt_path={alone}", f"folder={tmp_path / 'd'}", "trainer.max_epochs=3", config="train")
    )
    assert not math.isnan(longer)


def test_the_newest_run_may_have_the_state_before_the_newest_only(
    small: list[str], unbroken: Callable[..., Path], tmp_path: Path
) -> None:
    runs = tmp_path / "train" / "mine"
    shutil.copytree(unbroken(), runs / "2026-01-01_00-00-00")
    newest = runs / "2026-01-02_00-00-00"
    shutil.copytree(unbroken(), newest)
    (newest / "status.json").write_text('{"state": "running"}')
    (newest / LAST).rename(newest / PREVIOUS)
    (newest / "metrics.json").unlink()
    older = (runs / "2026-01-01_00-00-00" / "metrics.json").stat().st_mtime_ns
    train(compose(*small, "name=mine", f"paths.outputs={tmp_path}", "ckpt_path=last", "folder=new", config="train"))
    assert (newest / "metrics.json").read_bytes() == (unbroken() / "metrics.json").read_bytes()
    assert (runs / "2026-01-01_00-00-00" / "metrics.json").stat().st_mtime_ns == older


@pytest.mark.parametrize("length", [["trainer.max_steps=6"], ["trainer.max_steps=6", "+trainer.max_time=00:01:00:00"]])
def test_a_length_in_steps_anneals_as_the_same_in_epochs(
    small: list[str], unbroken: Callable[..., Path], tmp_path: Path, length: list[str]
) -> None:
    train(compose(*small, "trainer.max_epochs=null", *length, f"folder={tmp_path}", config="train"))
    for name in ("metrics.json", "predictions/test_iid.jsonl"):
        assert (tmp_path / name).read_bytes() == (unbroken() / name).read_bytes()


def test_a_length_in_time_alone_is_refused(small: list[str], tmp_path: Path) -> None:
    time = ["trainer.max_epochs=null", "+trainer.max_time=00:01:00:00"]
    with pytest.raises(UserError, match="must be known in steps"):
        train(compose(*small, *time, f"folder={tmp_path}", config="train"))


def test_only_the_best_weights_are_kept_for_the_test(small: list[str], tmp_path: Path) -> None:
    with pytest.raises(HydraException, match="save_top_k"):
        train(compose(*small, "+callbacks.best.save_top_k=2", f"folder={tmp_path}", config="train"))
    with pytest.raises(UserError, match=r"callbacks.best.monitor=val/none: give one of val/"):
        train(compose(*small, "callbacks.best.monitor=val/none", f"folder={tmp_path}/b", config="train"))


@pytest.mark.parametrize("room", [0, 200_000])
def test_a_full_disk_leaves_the_checkpoints_that_were_there(
    small: list[str], unbroken: Callable[..., Path], tmp_path: Path, room: int
) -> None:
    folder = tmp_path / "run"
    run_to(folder, small, passed=at("after epoch end", KILL, 1))
    kept = {name: (folder / name).read_bytes() for name in (BEST, LAST)}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    real = WholeCheckpoints.save_checkpoint

    def full(*arguments: Any, **named: Any) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        try:
            real(*arguments, **named)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WholeCheckpoints, "save_checkpoint", full)
        assert "cannot be written" in refused(folder, small)
    assert {name: (folder / name).read_bytes() for name in (BEST, LAST)} == kept
    assert not list(folder.rglob("*.part"))
    kept_on(folder, small)
    assert differences(folder, unbroken()) == []
