"""Lightning callbacks: predictions to files, and checkpoints from which training continues exactly."""

from __future__ import annotations

import logging
import random
import shutil
from pathlib import Path
from typing import Any, Literal

import lightning
import numpy as np
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.trainer.states import TrainerFn

from src import ending
from src.data.batch import Batch
from src.errors import UserError, reason
from src.files import whole, why_full
from src.models.tea import TEA
from src.runs.checkpoints import BEST, LAST, PREVIOUS, read_checkpoint
from src.runs.predictions import Prediction, to_predictions, write_answers
from src.runs.processes import gathered

log = logging.getLogger(__name__)


class PredictionWriter(Callback):
    """Writes the predictions of each test split; see `write_answers`."""

    def __init__(self, folder: str, submission: str | None = None) -> None:
        self.folder = Path(folder)
        self.submission = submission
        self.predictions: dict[str, list[Prediction]] = {}

    def on_test_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: TEA,  # type: ignore[override]
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        split = pl_module.test_splits[dataloader_idx]
        self.predictions.setdefault(split, []).extend(to_predictions(outputs["ranked"], batch.truth.moments))

    def on_test_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        moments = {name: dataset.moments for name, dataset in trainer.datamodule.tests.items()}  # type: ignore[attr-defined]
        parts = gathered(self.predictions)
        for split in moments if parts else ():
            predictions = [prediction for part in parts for prediction in part.get(split, ())]
            if len(predictions) == len(moments[split]):  # not where a Trainer was told to test a part only
                write_answers(self.folder, predictions, moments[split], split, self.submission)
        self.predictions = {}


class Begun(Callback):
    """Whether training has begun: before, Lightning restores the state that it goes on from."""

    def __init__(self) -> None:
        self.yes = False

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.yes = True


class WholeCheckpoints(TorchCheckpointIO):
    """Writes every checkpoint under another name beside its own until it is whole: the one before it stays readable."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises:
            UserError: it cannot be written; what the file held before is untouched.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".part")
        try:
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
            temporary.replace(path)
        except (OSError, RuntimeError) as error:
            temporary.unlink(missing_ok=True)
            why = why_full(error) or reason(error)
            raise UserError(
                f"{path} cannot be written ({why}): what was kept before is as it was; make room, and the same command "
                "goes on from there"
            ) from error


def is_trial(trainer: lightning.Trainer) -> bool:
    """Whether the Trainer only tries a batch of everything, and keeps nothing."""
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


_STATE_OF_TRAINING = ("optimizer_states", "lr_schedulers")


class BestCheckpoint(Checkpoint):
    """Keeps the weights of the best validation, `folder`/best.ckpt, without the optimizer, which is twice as
    large; of equals those of the first.

    Args:
        folder: The folder of the checkpoints.
        monitor: The validation metric that decides.
        mode: Whether more or less of it is better.

    Attributes:
        score: The monitored metric of the weights that are kept; None where there are none.
        latest: The metrics of the newest validation, by name.
    """

    def __init__(self, folder: str, monitor: str, mode: Literal["max", "min"]) -> None:
        if mode not in ("max", "min"):
            raise UserError(f"callbacks.best.mode is {mode}: it is max or min")
        self.path = Path(folder) / BEST.name
        self.monitor = monitor
        self.mode = mode
        self.score: float | None = None
        self.latest: dict[str, float] = {}
        self._weights_alone = False

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self.score is not None:
            # Every process decides alike, also one that does not see the first's files.
            self.score = trainer.strategy.broadcast(self._score_of_the_file(trainer))

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        self.latest = {
            name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")
        }
        if self.monitor not in self.latest:
            raise UserError(
                f"callbacks.best.monitor={self.monitor} is no validation metric: there are {', '.join(self.latest)}"
            )
        score = self.latest[self.monitor]
        better = self.score is None or (score > self.score if self.mode == "max" else score < self.score)
        if better:
            self.score = score
            if not is_trial(trainer):
                self._weights_alone = True
                trainer.save_checkpoint(self.path)
                self._weights_alone = False

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        for key in _STATE_OF_TRAINING if self._weights_alone else ():
            checkpoint.pop(key, None)

    def state_dict(self) -> dict[str, Any]:
        return {"monitor": self.monitor, "score": self.score, "latest": self.latest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.score, self.latest = state_dict["score"], state_dict["latest"]

    def _score_of_the_file(self, trainer: lightning.Trainer) -> float | None:
        """The score where the file holds the weights it is of; None where they are lost, and the next are the best.

        A state that is not of this folder has them beside it.
        """
        if not trainer.is_global_zero:
            return None
        beside = Path(str(trainer.ckpt_path)).parent / BEST.name
        for path in (self.path, beside):
            if path.is_file() and self._holds(path):
                if path != self.path:
                    with whole(self.path) as temporary:
                        shutil.copyfile(path, temporary)
                return self.score
        return None

    def _holds(self, path: Path) -> bool:
        try:
            callbacks = read_checkpoint(path).get("callbacks", {})
        except UserError as error:
            log.warning("%s; the best weights before this are lost", error)
            return False
        return bool(callbacks.get(self.state_key, {}).get("score") == self.score)


class LastCheckpoint(Checkpoint):
    """Keeps the two newest states of training: `folder`/last.ckpt and, for when that is damaged, previous.ckpt.

    Besides what Lightning saves a state holds that of the random numbers of every process, so that training continues
    with the numbers it would have drawn. It is of a whole optimizer step, and of a validation that is over or not yet
    due. It comes last among the callbacks, so that it knows what they did.

    When one of the processes is asked to end (SIGTERM), all go on to where a state can be kept, keep it and end.

    Args:
        folder: The folder of the checkpoints.
        every_n_steps: a state is kept after every so many steps, and after each epoch.
    """

    def __init__(self, folder: str, every_n_steps: int) -> None:
        self.folder = Path(folder)
        self.every_n_steps = every_n_steps
        self._random: list[dict[str, Any]] = []
        # The step before the newest batch, and that of the newest state.
        self._before = self._kept = -1
        self._whole = self._ends = False

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self._random and len(self._random) != trainer.world_size:
            raise UserError(
                f"the state to continue from is of {len(self._random)} processes, and {trainer.world_size} are here, "
                "whose batches are others: continue with as many (trainer.devices, trainer.num_nodes)"
            )
        if trainer.is_global_zero:
            for rest in self.folder.glob("*.part"):
                rest.unlink()
        # Lightning forgets that training had been stopped early.
        if any(callback.wait_count >= callback.patience for callback in trainer.early_stopping_callbacks):
            trainer.should_stop = True

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        ending.hold_off()
        # Where a run's length is in steps Lightning would end the epoch of such a state, without a batch, once more.
        epochs: Any = trainer.fit_loop.epoch_progress.current
        if epochs.processed == epochs.started:
            trainer.fit_loop.epoch_loop.restarting = False

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        ending.let_go()

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._before = trainer.global_step
        # Not sooner: setting up draws random numbers too.
        if self._random:
            _set_random(self._random[trainer.global_rank])
        self._random = []

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # Between two steps there are gradients, which a state does not hold.
        self._whole = trainer.global_step != self._before
        self._agree(trainer)
        # Training that continues from here would leave the validation out.
        if not _validates_after(trainer, batch_idx):
            self._keep_if_due(trainer)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            self._agree(trainer)
            self._keep_if_due(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        # An epoch that ends early goes on where it was if the run is given more steps.
        if trainer.is_last_batch:
            self._keep(trainer)
        if self._ends:
            ending.end()

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # Lightning counts an epoch as completed only after the hook that its state is kept in. Weights alone have none.
        if "loops" in checkpoint:
            for progress in checkpoint["loops"]["fit_loop"]["epoch_progress"].values():
                progress["completed"] = progress["processed"]

    def state_dict(self) -> dict[str, Any]:
        return {"random": gathered(_get_random())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._random = state_dict["random"]

    def _is_within_epoch(self, trainer: lightning.Trainer) -> bool:
        """Whether a state of now is one that an epoch can go on from."""
        return self._whole and not trainer.is_last_batch

    def _is_due(self, trainer: lightning.Trainer) -> bool:
        """Whether a state is to be kept within the epoch, which may also end there."""
        step = trainer.global_step
        ends = step == trainer.max_steps or _stops_early(trainer)
        return self._is_within_epoch(trainer) and (step % self.every_n_steps == 0 or ends or self._ends)

    def _agree(self, trainer: lightning.Trainer) -> None:
        """Find out whether any process was asked to end, at a point that all of them come to."""
        self._ends = trainer.strategy.reduce_boolean_decision(self._ends or ending.asked(), all=False)

    def _keep_if_due(self, trainer: lightning.Trainer) -> None:
        if self._is_due(trainer):
            self._keep(trainer)
            if self._ends:
                ending.end()

    def _keep(self, trainer: lightning.Trainer) -> None:
        if is_trial(trainer) or trainer.global_step == self._kept:
            return
        for logger in trainer.loggers:
            logger.save()  # what is logged before a state is not logged again after it
        last = self.folder / LAST.name
        new = last.with_name("new.ckpt.part")
        trainer.save_checkpoint(new)
        if trainer.is_global_zero:
            if last.exists():
                last.replace(self.folder / PREVIOUS.name)
            new.replace(last)
        self._kept = trainer.global_step


def _stops_early(trainer: lightning.Trainer) -> bool:
    """Whether training ends here though its length is not reached."""
    least_epochs, least_steps = trainer.min_epochs or 0, trainer.min_steps or 0
    return trainer.should_stop and trainer.current_epoch >= least_epochs and trainer.global_step >= least_steps


def _validates_after(trainer: lightning.Trainer, batch_idx: int) -> bool:
    """Whether a validation follows on a batch that has ended."""
    every = trainer.check_val_every_n_epoch
    if not trainer.enable_validation or (every is not None and (trainer.current_epoch + 1) % every):
        return False
    if _stops_early(trainer):
        return True
    assert trainer.val_check_batch is not None
    counted = trainer.fit_loop.total_batch_idx if every is None else batch_idx
    return (counted + 1) % trainer.val_check_batch == 0


def _get_random() -> dict[str, Any]:
    """The state of every generator of random numbers, in types that a checkpoint is read back with."""
    version, keys, gauss = random.getstate()
    name, numpy_keys, *rest = np.random.get_state()
    return {
        "cpu": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": (version, torch.tensor(keys), gauss),
        "numpy": (name, torch.from_numpy(np.asarray(numpy_keys, dtype=np.int64)), *rest),
    }


def _set_random(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    if len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys.tolist()), gauss))
    name, numpy_keys, *rest = state["numpy"]
    np.random.set_state((name, numpy_keys.numpy(), *rest))
