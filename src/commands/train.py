"""From a composed config to a trained and tested network, in a run folder."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
from hydra.utils import instantiate
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException
from omegaconf import DictConfig, OmegaConf

from src.build import build_data, build_model
from src.errors import UserError
from src.metrics.suite import table
from src.models.network import TEA
from src.runs.checkpoints import LAST, PREVIOUS, newest_run, read_checkpoint, require_same_network
from src.runs.folder import RunFolder, finished_value
from src.runs.wandb import RunLogger

log = logging.getLogger(__name__)
# Lightning says through its own handler what it also says through ours.
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
warnings.filterwarnings("ignore", message=".*LeafSpec.*")
# Metrics are reduced over the processes before they are logged.
warnings.filterwarnings("ignore", message=".*sync_dist=True.*")
# A checkpoint is tested in a folder of its own.
warnings.filterwarnings("ignore", message="The dirpath has changed.*")
warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")


def train(cfg: DictConfig) -> float:
    """Fit, test every test split with the best validation checkpoint, and record all of it in the run folder.

    A run whose folder holds a state continues from it; one that is finished is not run again.

    Returns:
        The best value of the monitored validation metric.

    Raises:
        UserError: something that is asked for is missing or does not fit.
    """
    value = finished_value(Path(cfg.folder), cfg)
    if value is not None:
        log.info("finished before: %s", cfg.folder)
        return value
    checkpoint = _continued(cfg)
    folder = Path(cfg.folder)
    lightning.seed_everything(cfg.seed, workers=True, verbose=False)
    with RunFolder(folder, cfg) as run:
        data = build_data(cfg)
        model = build_model(cfg, data)
        trainer = build_trainer(cfg)
        with _closed_loggers(trainer):
            try:
                trainer.fit(model, data, ckpt_path=checkpoint, weights_only=True)
            except SIGTERMException as asked:
                raise UserError(f"asked to end (SIGTERM): state kept, continue with ckpt_path={folder}") from asked
            values = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
            best = _best(trainer)
            values[f"best/{cfg.callbacks.best.monitor}"] = best
            for logger in trainer.loggers:
                logger.log_metrics({f"best/{cfg.callbacks.best.monitor}": best}, trainer.global_step)
            if cfg.test:
                values |= test(trainer, model, data, "best")
            run.metrics(values)
    log.info("run folder: %s", folder)
    return best


def test(
    trainer: lightning.Trainer, model: TEA, data: lightning.LightningDataModule, checkpoint: str | Path
) -> dict[str, float]:
    """Test every split of the data with a checkpoint, print the table and return the metrics."""
    results = trainer.test(model, data, ckpt_path=checkpoint, weights_only=True, verbose=False)
    values = {name: value for result in results for name, value in result.items()}
    if trainer.is_global_zero:
        print(table(values))
    return values


def build_trainer(cfg: DictConfig) -> lightning.Trainer:
    """The Trainer with its callbacks and loggers."""
    callbacks: list[Callback] = [instantiate(callback) for callback in cfg.callbacks.values() if callback]
    loggers: list[Any] = [instantiate(logger) for logger in cfg.logger.values() if logger]
    trainer: lightning.Trainer = instantiate(cfg.trainer, callbacks=callbacks, logger=loggers)
    # Not sooner: it begins a run at Weights & Biases, which a trainer that cannot be built would leave open.
    for logger in loggers:
        logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))
    return trainer


@contextmanager
def _closed_loggers(trainer: lightning.Trainer) -> Iterator[None]:
    """End the run at Weights & Biases with this run."""
    failed = True
    try:
        yield
        failed = False
    finally:
        for logger in trainer.loggers:
            if isinstance(logger, RunLogger):
                logger.close(failed)


def _best(trainer: lightning.Trainer) -> float:
    saver = trainer.checkpoint_callback
    assert isinstance(saver, ModelCheckpoint)
    return float(saver.best_model_score) if saver.best_model_score is not None else math.nan


def _continued(cfg: DictConfig) -> Path | None:
    """The checkpoint to continue from, known to fit the config: `ckpt_path` names it, or the run folder holds it.

    A run that is continued keeps its folder. A damaged checkpoint is reported and the one before it taken.
    """
    if cfg.ckpt_path is None:
        place = Path(cfg.folder)
        if not (place / LAST).exists() and not (place / PREVIOUS).exists():
            return None
    elif cfg.ckpt_path == "last":
        place = newest_run(Path(cfg.paths.outputs) / "train" / cfg.name)
    else:
        place = Path(cfg.ckpt_path)
    if not place.is_dir():
        require_same_network(read_checkpoint(place)["config"], cfg, place)
        return place
    cfg.folder = str(place)
    path = place / LAST
    try:
        saved = read_checkpoint(path)
    except UserError as error:
        path = place / PREVIOUS
        if not path.is_file():
            raise
        log.warning("%s; continuing from %s", error, path)
        saved = read_checkpoint(path)
    require_same_network(saved["config"], cfg, path)
    return path
