"""What a finished run takes of the disk, and what can still be done with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from src.commands.evaluate import evaluate
from src.commands.prepare import make_stores
from src.commands.train import train
from src.errors import UserError
from tests.compose import compose
from tests.synthetic import write_small


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    few = write_small(tmp_path_factory.mktemp("small"), videos=4, queries=2, dim=8)
    overrides = ["+experiment=charades_cd_i3d", *few, "merger=none", "paragraph=none", "data.tests=[test_iid]"]
    make_stores(compose(*overrides, config="prepare"))
    return overrides


def test_the_best_weights_come_without_the_state_of_training(small: list[str], tmp_path: Path) -> None:
    train(compose(*small, f"folder={tmp_path}", config="train"))
    best, last = (tmp_path / "checkpoints" / name for name in ("best.ckpt", "last.ckpt"))
    assert {path.name for path in best.parent.iterdir()} == {"best.ckpt", "last.ckpt"}
    weights = sum(weight.nbytes for weight in torch.load(best, weights_only=True)["state_dict"].values())
    # Adam keeps two numbers for each weight.
    assert last.stat().st_size - best.stat().st_size > 2 * weights


def test_a_finished_run_can_be_left_without_a_state(small: list[str], tmp_path: Path) -> None:
    run = [*small, f"folder={tmp_path}/run", "keep_state=false"]
    value = train(compose(*run, config="train"))
    checkpoints = tmp_path / "run" / "checkpoints"
    assert [path.name for path in checkpoints.iterdir()] == ["best.ckpt"]
    kept = (checkpoints / "best.ckpt").read_bytes()
    # The same command finds it finished; to train it for longer, it says, is not possible.
    assert train(compose(*run, config="train")) == value
    with pytest.raises(UserError, match=r"kept no state of training \(keep_state=false\)"):
        train(compose(*run, f"ckpt_path={tmp_path}/run", "trainer.max_epochs=3", config="train"))
    assert (checkpoints / "best.ckpt").read_bytes() == kept
    words = [f"checkpoint={tmp_path}/run"]
    assert evaluate(compose(*small, *words, f"folder={tmp_path}/again", config="evaluate"), words)
