"""A Trainer from a config, and a test with it: what training and evaluating a checkpoint share."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import lightning
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, OmegaConf

from src.errors import UserError
from src.metrics.table import table
from src.models.tea import TEA
from src.progress import at_terminal, show
from src.runs.callbacks import LastCheckpoint, WholeCheckpoints

# What Lightning warns of in vain, with the reason.
_IN_VAIN = (
    ".*LeafSpec.*",
    # Metrics are reduced over the processes before they are logged.
    ".*sync_dist=True.*",
    ".*smaller than the logging interval.*",
)

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
"""What networks are trained in."""


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
    bar = cfg.trainer.get("enable_progress_bar", True) and at_terminal()
    trainer: lightning.Trainer = instantiate(cfg.trainer, callbacks=callbacks, logger=loggers, enable_progress_bar=bar)
    trainer.strategy.checkpoint_io = WholeCheckpoints()
    _require_one_folder(trainer)
    if trainer.precision not in PRECISIONS:
        raise UserError(
            f"trainer.precision={trainer.precision} is not supported, as batches are made in single precision: it is "
            f"one of {', '.join(PRECISIONS)}"
        )
    # Not sooner: it begins a run at Weights & Biases, which a trainer that cannot be built would leave open.
    for logger in loggers:
        logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))
    return trainer


def _require_one_folder(trainer: lightning.Trainer) -> None:
    """Processes that another program starts, such as torchrun, name a folder each if it is named by the time."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if environment is None or not environment.creates_processes_externally or not HydraConfig.initialized():
        return
    hydra = HydraConfig.get()
    given = any(override.startswith("hydra.run.dir=") for override in hydra.overrides.hydra)
    if trainer.world_size > 1 and hydra.mode == RunMode.RUN and not given:
        raise UserError("processes that torchrun or SLURM starts need one folder: give hydra.run.dir=FOLDER")


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
        show(table(values))
    return values
