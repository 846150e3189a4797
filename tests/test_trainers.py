"""Every Trainer that can be configured trains, or says in one line why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from src.commands.prepare import make_stores
from src.commands.train import train
from src.errors import UserError
from src.runs.checkpoints import LAST
from tests.compose import CONF, compose
from tests.synthetic import write_small

# What this machine lacks.
HERE = {
    "gpu": ["trainer.accelerator=cpu"],
    "ddp": ["trainer.accelerator=cpu", "trainer.devices=1"],
    "overfit": ["trainer.accelerator=cpu", "trainer.max_epochs=3", "trainer.check_val_every_n_epoch=3"],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., float]:
    few = write_small(tmp_path_factory.mktemp("small"), videos=4, queries=2, dim=8)
    kept = [each for each in few if not each.startswith(("trainer", "+trainer"))]
    parts = ["merger=none", "paragraph=none", "loader.batch_size=3", "data.tests=[test_iid]"]
    overrides = ["+experiment=charades_cd_i3d", *kept, *parts]
    make_stores(compose(*overrides, config="prepare"))
    return lambda folder, *more: train(
        compose(*overrides, "+trainer.enable_progress_bar=false", *more, f"folder={folder}", config="train")
    )


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "trainer").glob("*.yaml")))
def test_every_trainer_trains_and_tests(run: Callable[..., float], tmp_path: Path, name: str) -> None:
    short = HERE.get(name, ["trainer.max_epochs=1"])
    best = run(tmp_path, f"trainer={name}", *(["trainer.max_epochs=1", *short] if name != "overfit" else short))
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["best/val/mIoU"] == best
    assert "test/test_iid/mIoU" in metrics
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "finished"


def test_overfitting_learns_two_batches_and_validates_on_them(run: Callable[..., float], tmp_path: Path) -> None:
    run(tmp_path, "trainer=overfit", *HERE["overfit"], "trainer.max_epochs=2", "trainer.check_val_every_n_epoch=1")
    assert torch.load(tmp_path / LAST, weights_only=True)["global_step"] == 4


@pytest.mark.parametrize("precision", ["64-true", "16-true", "bf16-true", "bf16-mixed"])
def test_a_precision_trains_or_is_refused(run: Callable[..., float], tmp_path: Path, precision: str) -> None:
    settings = ["trainer=cpu", "trainer.max_epochs=1", f"trainer.precision={precision}"]
    if precision == "bf16-mixed":
        run(tmp_path, *settings)
        return
    with pytest.raises(UserError, match=f"trainer.precision={precision} is not supported.* one of 32-true, bf16-mixed"):
        run(tmp_path, *settings)


@pytest.mark.parametrize(
    ("length", "kept"),
    [
        (["trainer.max_steps=2"], True),
        (["trainer.max_epochs=0"], False),
        (["trainer.max_epochs=1", "+trainer.limit_val_batches=0"], True),
        (["trainer.max_epochs=1", "+trainer.check_val_every_n_epoch=5"], True),
    ],
)
def test_training_that_never_validates_names_the_state_it_kept(
    run: Callable[..., float], tmp_path: Path, length: list[str], kept: bool
) -> None:
    with pytest.raises(UserError, match="training ended without a validation") as caught:
        run(tmp_path, "trainer=cpu", *length)
    assert "\n" not in str(caught.value)
    assert (str(tmp_path / LAST) in str(caught.value)) == (tmp_path / LAST).is_file() == kept


def test_a_patient_training_ends_when_validation_has_not_become_better_also_where_it_goes_on(
    run: Callable[..., float], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "src.runs")
    # With a rate of zero every validation is like the first.
    still = ["trainer=cpu", "callbacks=patient", "callbacks.patience.patience=3", "optimizer.lr=0"]

    def epochs() -> int:
        return torch.load(tmp_path / LAST, weights_only=True)["epoch"] + 1

    run(tmp_path, *still, "trainer.max_epochs=2")
    assert epochs() == 2
    run(tmp_path, *still, "trainer.max_epochs=9", f"ckpt_path={tmp_path}")
    assert epochs() == 4
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "finished"
    assert "val/mIoU has not been better for 3 validations" in caplog.text
