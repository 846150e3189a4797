"""A Lightning callback that ends a training from which no better epoch is to be expected."""

from __future__ import annotations

import logging

import lightning
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.utilities import rank_zero_only

_log = logging.getLogger(__name__)


class Patience(EarlyStopping):
    """Ends training when the validation has not become better for some time, and says so.

    Args:
        monitor: The metric of the validation, such as val/mIoU.
        mode: Which is better, `max` or `min`.
        patience: Validations without a better one after which training ends.
    """

    def __init__(self, monitor: str, mode: str, patience: int) -> None:
        super().__init__(monitor, mode=mode, patience=patience)

    @rank_zero_only
    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.should_stop and self.wait_count >= self.patience:
            _log.info("ended: %s has not been better for %d validations", self.monitor, self.wait_count)
