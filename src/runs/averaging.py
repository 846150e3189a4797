"""A Lightning callback that averages weights over a training."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor


class AveragedWeights(Callback):
    """Validates, and so keeps as the best, an exponential moving average of the weights that epochs end with.

    It stands after `BestCheckpoint` among the callbacks: weights that are validated are in place until that has kept
    them.

    Args:
        decay: The share of the average that an epoch leaves; from 0, which is no average, up to 1.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.average: dict[str, Tensor] | None = None
        self.counted = -1  # the last epoch that is in the average
        self._own: dict[str, Tensor] | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self.average is None:
            self.average = _weights(pl_module)
        self.average = {name: weight.to(pl_module.device) for name, weight in self.average.items()}

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            self._count(trainer.current_epoch, pl_module)
            assert self.average is not None
            self._own = _weights(pl_module)
            _put(pl_module, self.average)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self._own is not None:
            _put(pl_module, self._own)
            self._own = None

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._count(trainer.current_epoch, pl_module)

    def _count(self, epoch: int, module: lightning.LightningModule) -> None:
        if epoch > self.counted:
            assert self.average is not None
            for name, weight in module.named_parameters():
                self.average[name].lerp_(weight.detach(), 1 - self.decay)
            self.counted = epoch

    def state_dict(self) -> dict[str, Any]:
        # While the average stands in the weights' place it is kept as those.
        return {"average": self.average if self._own is None else None, "counted": self.counted}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.average, self.counted = state_dict["average"], state_dict["counted"]


def _weights(module: lightning.LightningModule) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in module.named_parameters()}


@torch.no_grad()
def _put(module: lightning.LightningModule, weights: dict[str, Tensor]) -> None:
    for name, weight in module.named_parameters():
        weight.copy_(weights[name])
