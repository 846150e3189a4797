"""A Trainer from a config, and a test with it: what training and evaluating a checkpoint share."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from typing import Any

import lightning
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from hydra.utils import instantiate
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, OmegaConf

from src.errors import UserError, reason
from src.metrics.table import table
from src.models.tea import TEA
from src.progress import at_terminal, show
from src.runs.callbacks import LastCheckpoint, WholeCheckpoints
from src.runs.processes import Processes

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


def build_trainer(cfg: DictConfig, processes: Processes) -> lightning.Trainer:
    """The Trainer of a config with its callbacks and loggers.

    Args:
        cfg: The config.
        processes: The other processes of the run.

    Raises:
        UserError: the config's Trainer cannot be, or not with the processes that there are.
    """
    hush()
    callbacks: list[Callback] = [instantiate(callback) for callback in cfg.callbacks.values() if callback]
    # A state that is kept holds what the others have done.
    callbacks.sort(key=lambda callback: isinstance(callback, LastCheckpoint))
    loggers: list[Any] = [instantiate(logger) for logger in cfg.logger.values() if logger]
    bar = cfg.trainer.get("enable_progress_bar", True) and at_terminal()
    trainer = _trainer(cfg, callbacks=callbacks, logger=loggers, enable_progress_bar=bar)
    trainer.strategy.checkpoint_io = WholeCheckpoints()
    # In its handlers a process waits for the others, which wait for it; src.ending takes their place.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    processes.launched_by(trainer.strategy.launcher)
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


def _trainer(cfg: DictConfig, **more: Any) -> lightning.Trainer:
    # Where Lightning would look for states of its own, which any job of SLURM in a folder would go on from.
    more["default_root_dir"] = cfg.folder
    try:
        trainer: lightning.Trainer = instantiate(cfg.trainer, **more)
        environment = getattr(trainer.strategy, "cluster_environment", None)
        if environment is not None:
            environment.validate_settings(trainer.num_devices, trainer.num_nodes)
    except InstantiationException as error:
        raise UserError(f"no Trainer of conf/trainer: {reason(error.__cause__ or error)}") from error
    except ValueError as error:
        raise UserError(f"trainer.devices={cfg.trainer.devices}: {reason(error)}") from error
    started, several = _started(), trainer.num_devices * trainer.num_nodes
    if started is not None and started[1] != several:
        raise UserError(
            f"{started[0]}={started[1]} processes are started, but trainer.devices={trainer.num_devices} and "
            f"trainer.num_nodes={trainer.num_nodes} make {several}: give the same number to both"
        )
    return trainer


def _started() -> tuple[str, int] | None:
    """How many processes SLURM or torchrun has started, and the variable that says so."""
    if TorchElasticEnvironment.detect():
        return "WORLD_SIZE", int(os.environ["WORLD_SIZE"])
    return ("SLURM_NTASKS", int(os.environ["SLURM_NTASKS"])) if SLURMEnvironment.detect() else None


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
