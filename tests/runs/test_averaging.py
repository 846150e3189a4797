"""What averaged weights are, when they are in place, and that a training goes on with them."""

from __future__ import annotations

from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader

from src.runs.averaging import AveragedWeights


class Counter(lightning.LightningModule):
    """Its weight grows by one a step; there are two steps an epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.validated: list[float] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return -self.weight.sum()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.validated.append(float(self.weight.detach()))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


class Kept(Callback):
    """Keeps the weights as the best checkpoint does."""

    def __init__(self) -> None:
        self.weights: list[float] = []

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.weights.append(float(pl_module.weight))  # type: ignore[arg-type]


def fit(folder: Path, epochs: int, every: int = 1, ckpt_path: Path | None = None) -> tuple[Counter, Kept, Path]:
    model, kept = Counter(), Kept()
    trainer = lightning.Trainer(
        max_epochs=epochs,
        check_val_every_n_epoch=every,
        callbacks=[kept, AveragedWeights(decay=0.5)],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    data = DataLoader([torch.zeros(1)] * 2), DataLoader([torch.zeros(1)])  # type: ignore[arg-type]
    trainer.fit(model, *data, ckpt_path=ckpt_path)
    state = folder / f"{epochs}.ckpt"
    trainer.save_checkpoint(state)
    return model, kept, state


# The weight is 2, 4, 6 after the epochs, the average 1, 2.5, 4.25.
AVERAGES = pytest.approx([1.0, 2.5, 4.25])


@pytest.mark.filterwarnings("ignore")
def test_the_average_is_validated_and_kept_and_training_goes_on_with_the_weights(tmp_path: Path) -> None:
    model, kept, _ = fit(tmp_path, epochs=3)
    assert model.validated[-3:] == AVERAGES
    assert kept.weights[-3:] == AVERAGES
    assert float(model.weight) == 6


@pytest.mark.filterwarnings("ignore")
def test_epochs_without_a_validation_count_too(tmp_path: Path) -> None:
    model, _, _ = fit(tmp_path, epochs=3, every=3)
    assert model.validated[-1] == pytest.approx(4.25)


@pytest.mark.filterwarnings("ignore")
def test_a_training_that_is_continued_has_the_average_it_would_have_had(tmp_path: Path) -> None:
    _, _, state = fit(tmp_path, epochs=2)
    model, _, _ = fit(tmp_path, epochs=3, ckpt_path=state)
    assert model.validated[-1] == pytest.approx(4.25)
