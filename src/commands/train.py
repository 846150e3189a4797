"""From a composed config to a trained and tested network, in a run folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning
import numpy as np
from omegaconf import DictConfig

from src.build import Parts
from src.commands.evaluate import score
from src.data.datamodule import MomentDataModule
from src.errors import UserError, reason
from src.places import Places
from src.runs.callbacks import Begun, BestCheckpoint, is_trial
from src.runs.checkpoints import (
    LAST,
    best_checkpoint,
    has_state,
    leave_states,
    load_network,
    newest_run,
    newest_state,
    read_checkpoint,
    read_state,
    require_same_run,
    require_state,
)
from src.runs.configuration import configuration
from src.runs.folder import RunFolder, finished_value, is_first
from src.runs.predictions import Prediction
from src.runs.processes import Processes, is_broken_connection, requeue
from src.runs.provenance import data_read
from src.runs.wandb import RunLogger
from src.training import build_trainer, test

_log = logging.getLogger(__name__)


def train(cfg: DictConfig) -> float:
    """Fit, test every test split with the best validation checkpoint, and record all of it in the run folder.

    A run whose folder holds a state continues from it; one that is finished is not run again.

    Returns:
        The best value of the monitored validation metric.

    Raises:
        UserError: something that is asked for is missing or does not fit; or training ended without a validation.
        Ended: the process was asked to end (SIGTERM); a state is kept first where one can be.
    """
    place = _continued(cfg)
    folder = Path(cfg.folder)
    value = finished_value(folder, cfg, longer=cfg.ckpt_path is not None)
    if value is not None:
        _log.info("finished before: %s", folder)
        return value
    require_state(folder)
    checkpoint = _state(place, cfg)
    lightning.seed_everything(cfg.seed, workers=True, verbose=False)
    processes = Processes(folder, lambda: _kept(folder))
    with RunFolder(folder, cfg) as run, processes.together(run.failed):
        parts = Parts(cfg)
        if cfg.start_from is not None and checkpoint is None:
            source = best_checkpoint(Path(cfg.start_from))
            parts.network = load_network(parts.new_network, read_checkpoint(source), source)
        data = parts.data()
        run.read(data_read(data))
        model = parts.model(data, configuration(cfg))
        _require_monitored(parts, data)
        trainer = build_trainer(cfg, processes)
        data.require_shared(trainer.world_size, tests=cfg.test)
        if trainer.global_rank > 0:  # every process has the same new weights, and noise of its own
            own = np.random.SeedSequence((cfg.seed, trainer.global_rank)).generate_state(1)
            lightning.seed_everything(int(own[0]), verbose=False)
        best = _best(trainer)
        # Before the others, of which the one that keeps states comes last.
        trainer.callbacks.insert(0, begun := Begun())  # type: ignore[attr-defined]
        with _closed_loggers(trainer):
            try:
                trainer.fit(model, data, ckpt_path=checkpoint, weights_only=True)
            except UserError:
                raise
            except Exception as error:
                if checkpoint is None or begun.yes or is_broken_connection(error):
                    raise
                raise UserError(f"{checkpoint} cannot be continued from ({reason(error)}): it is damaged") from error
            values, name = dict(best.latest), f"best/{best.monitor}"
            score = values[name] = _validated(best, folder)
            for logger in trainer.loggers:
                logger.log_metrics({name: score}, trainer.global_step)
            if cfg.test:
                values |= test(trainer, model, data, None if is_trial(trainer) else best.path)
            run.metrics(values)
    if trainer.is_global_zero:
        leave_states(folder, newest=cfg.keep_state)
    _log.info("run folder: %s", folder)
    return score


def _kept(folder: Path) -> str:
    """Queue a job of SLURM again, and say what there is to go on from."""
    kept = f"state kept, continue with ckpt_path={folder}" if has_state(folder) else "no state was kept yet"
    return f"{kept}; {said}" if is_first() and (said := requeue()) else kept


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


def _best(trainer: lightning.Trainer) -> BestCheckpoint:
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, BestCheckpoint):
            return callback
    raise UserError("callbacks has no src.runs.callbacks.BestCheckpoint, which keeps the weights to test")


def _validated(best: BestCheckpoint, folder: Path) -> float:
    if best.score is None:
        kept = f"the newest state is {folder / LAST}" if has_state(folder) else "no state was kept"
        raise UserError(
            f"training ended without a validation, by which the weights to test are chosen; {kept}. See "
            "trainer.max_epochs, max_steps, check_val_every_n_epoch and limit_val_batches"
        )
    return best.score


def _continued(cfg: DictConfig) -> Path | None:
    """The run folder or the checkpoint to continue from: `ckpt_path` names it, or the run folder holds a state.

    A run that is continued keeps its folder.
    """
    if cfg.ckpt_path is None:
        folder = Path(cfg.folder)
        return folder if has_state(folder) else None
    place = newest_run(Places(cfg).runs) if cfg.ckpt_path == "last" else Path(cfg.ckpt_path)
    if place.is_dir():
        cfg.folder = str(place)
    return place


def _state(place: Path | None, cfg: DictConfig) -> Path | None:
    """The state to continue from, known to fit the config."""
    if place is None:
        return None
    path, saved = newest_state(place) if place.is_dir() else (place, read_state(place))
    require_same_run(saved, cfg, path)
    return path
