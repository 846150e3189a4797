"""A Trainer from a config, and a test with it: what training and evaluating a checkpoint share."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import lightning
from hydra.utils import instantiate
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, OmegaConf

from src.metrics.table import table
from src.models.tea import TEA
from src.runs.callbacks import LastCheckpoint, WholeCheckpoints

# What Lightning warns of in vain, with the reason.
_IN_VAIN = (
    ".*LeafSpec.*",
    # Metrics are reduced over the processes before they are logged.
    ".*sync_dist=True.*",
    ".*smaller than the logging interval.*",
)


def hush() -> None:
    """Leave out what Lightning says in vain, or says through a handler of its own beside ours."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in _IN_VAIN:
        warnings.filterwarnings("ignore", message=message)


def build_trainer(cfg: DictConfig) -> lightning.Trainer:
    """The Trainer of a config with its callbacks and loggers."""
    hush()
    callbacks: list[Callback] = [instantiate(callback) for callback in cfg.callbacks.values() if callback]
    # A state that is kept holds what the others have done.
    callbacks.sort(key=lambda callback: isinstance(callback, LastCheckpoint))
    loggers: list[Any] = [instantiate(logger) for logger in cfg.logger.values() if logger]
    trainer: lightning.Trainer = instantiate(cfg.trainer, callbacks=callbacks, logger=loggers)
    trainer.strategy.checkpoint_io = WholeCheckpoints()
    # Not sooner: it begins a run at Weights & Biases, which a trainer that cannot be built would leave open.
    for logger in loggers:
        logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))
    return trainer


def test(
    trainer: lightning.Trainer,
    model: TEA,
    data: lightning.LightningDataModule,
    checkpoint: Path | None,
) -> dict[str, float]:
    """Test every split of the data, print the table and return the metrics.

    Args:
        checkpoint: What to load first; None for the model as it is.
    """
    results = trainer.test(model, data, ckpt_path=checkpoint, weights_only=True, verbose=False)
    values = {name: value for result in results for name, value in result.items()}
    if trainer.is_global_zero:
        print(table(values))
    return values
