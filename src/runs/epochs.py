"""What training says of itself: a line for each epoch, and where no bar is drawn one a minute within it."""

from __future__ import annotations

import logging
import time
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only

from src.progress import Progress, left, show

_log = logging.getLogger(__name__)


class EpochLines(Callback):
    """Says after each epoch its loss, the metrics of its validation, and how long training will still take.

    Args:
        metrics: The validation metrics in the line, named as in metrics.csv without `val/`.
    """

    def __init__(self, metrics: list[str]) -> None:
        self.metrics = metrics
        self._start = (0.0, 0)
        self._validated = False
        self._steps: Progress | None = None

    @rank_zero_only
    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._start = (time.monotonic(), trainer.global_step)

    @rank_zero_only
    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._validated = False
        self._begin(trainer, _epoch(trainer), "step", trainer.num_training_batches)

    @rank_zero_only
    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any, **__: Any) -> None:
        if self._steps is not None:
            self._steps.update()

    @rank_zero_only
    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._validated = trainer.state.fn == TrainerFn.FITTING

    @rank_zero_only
    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._steps = None
        values = trainer.callback_metrics
        parts = [f"loss {float(values['train/loss']):.4g}"]
        if self._validated:
            names = [name for name in self.metrics if f"val/{name}" in values]
            parts.append("val " + " ".join(f"{name} {float(values[f'val/{name}']):.2f}" for name in names))
        begun, first = self._start
        share = (trainer.global_step - first) / max(trainer.estimated_stepping_batches - first, 1)
        if share < 1:
            parts.append(left(share, time.monotonic() - begun))
        line = f"{_epoch(trainer)}: {', '.join(parts)}"
        if trainer.progress_bar_callback is None:
            _log.info("%s", line)
        else:  # above it, not across it
            show(line, trainer.progress_bar_callback.print)

    @rank_zero_only
    def on_test_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._begin(trainer, "testing", "batch", sum(trainer.num_test_batches))

    @rank_zero_only
    def on_test_batch_end(self, trainer: lightning.Trainer, *_: Any, **__: Any) -> None:
        if self._steps is not None:
            self._steps.update()

    def _begin(self, trainer: lightning.Trainer, name: str, unit: str, total: float) -> None:
        """Say a line a minute of these steps, where Lightning draws no bar of them."""
        drawn = trainer.progress_bar_callback is not None
        self._steps = None if drawn else Progress(None, name, unit, int(total))


def _epoch(trainer: lightning.Trainer) -> str:
    most = trainer.max_epochs
    return f"epoch {trainer.current_epoch + 1}" + (f" of {most}" if most is not None and most > 0 else "")
