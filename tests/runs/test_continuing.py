"""A run that is stopped at any point and by any signal, and started again, leaves what an unbroken one leaves."""

from __future__ import annotations

import functools
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from src.commands.prepare import make_stores
from src.commands.train import train
from tests.compose import compose
from tests.runs.interrupted import at, differences, stopped
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


@pytest.mark.parametrize("way", list(WAYS)[1:])
def test_a_state_is_kept_only_where_training_can_go_on_from(
    small: list[str], unbroken: Callable[..., Path], tmp_path: Path, way: str
) -> None:
    stops = [("after step", 2, TERM), ("after step", 3, KILL)]
    require_equal_after(stops, tmp_path / "run", small, unbroken(*WAYS[way]), *WAYS[way])


@pytest.mark.slow
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
