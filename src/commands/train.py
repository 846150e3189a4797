"""From a composed config to a trained and tested network, in a run folder."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException
from omegaconf import DictConfig

from src.build import Parts
from src.commands.evaluate import score
from src.data.datamodule import MomentDataModule
from src.errors import UserError, reason
from src.places import Places
from src.runs.callbacks import Begun
from src.runs.checkpoints import LAST, PREVIOUS, newest_run, read_checkpoint, require_same_network, require_state
from src.runs.configuration import configuration
from src.runs.folder import RunFolder, finished_value
from src.runs.predictions import Prediction
from src.runs.wandb import RunLogger
from src.training import build_trainer, test

_log = logging.getLogger(__name__)


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
        _log.info("finished before: %s", cfg.folder)
        return value
    checkpoint = _continued(cfg)
    folder = Path(cfg.folder)
    lightning.seed_everything(cfg.seed, workers=True, verbose=False)
    with RunFolder(folder, cfg) as run:
        parts = Parts(cfg)
        data = parts.data()
        model = parts.model(data, configuration(cfg))
        _require_monitored(parts, data)
        trainer = build_trainer(cfg)
        trainer.callbacks.append(begun := Begun())  # type: ignore[attr-defined]
        with _closed_loggers(trainer):
            try:
                trainer.fit(model, data, ckpt_path=checkpoint, weights_only=True)
            except SIGTERMException as asked:
                raise UserError(f"asked to end (SIGTERM): state kept, continue with ckpt_path={folder}") from asked
            except Exception as error:
                if checkpoint is None or begun.yes:
                    raise
                raise UserError(f"{checkpoint} cannot be continued from ({reason(error)}): it is damaged") from error
            values = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
            best = _best(trainer)
            values[f"best/{cfg.callbacks.best.monitor}"] = best
            for logger in trainer.loggers:
                logger.log_metrics({f"best/{cfg.callbacks.best.monitor}": best}, trainer.global_step)
            if cfg.test:
                values |= test(trainer, model, data, "best")
            run.metrics(values)
    _log.info("run folder: %s", folder)
    return best


def _require_monitored(parts: Parts, data: MomentDataModule) -> None:
    """Raise a UserError unless the best epoch is chosen by a metric of the validation split, which is known by now."""
    moments, monitor = data.val.moments[:1], parts.cfg.callbacks.best.monitor
    whole = [Prediction(moment.query_id, ((0.0, moment.duration, 1.0),), (0.0,)) for moment in moments]
    names = sorted(score(moments, whole, parts.metrics("val")))
    if monitor not in names:
        raise UserError(f"callbacks.best.monitor={monitor}: give one of {', '.join(names)}")


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
        place = newest_run(Places(cfg).runs)
    else:
        place = Path(cfg.ckpt_path)
    if not place.is_dir():
        require_same_network(_state(place), cfg, place)
        return place
    cfg.folder = str(place)
    path = place / LAST
    try:
        saved = _state(path)
    except UserError as error:
        path = place / PREVIOUS
        if not path.is_file():
            raise
        _log.warning("%s; continuing from %s", error, path)
        saved = _state(path)
    require_same_network(saved, cfg, path)
    return path


def _state(path: Path) -> dict[str, Any]:
    saved = read_checkpoint(path)
    require_state(saved, path)
    return saved
