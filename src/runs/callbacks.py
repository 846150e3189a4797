"""Lightning callbacks: predictions to files, and checkpoints from which training continues exactly."""

from __future__ import annotations

import logging
import os
import subprocess
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor

from src.data.batch import Batch
from src.errors import UserError
from src.files import writing
from src.models.tea import TEA
from src.runs.checkpoints import LAST, PREVIOUS
from src.runs.predictions import Prediction, to_predictions, write_predictions

log = logging.getLogger(__name__)


class PredictionWriter(Callback):
    """Writes the predictions of each test split to `folder`/SPLIT.jsonl."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
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
        parts = _gather(self.predictions)
        if trainer.is_global_zero:
            for split in moments:
                predictions = [prediction for part in parts for prediction in part.get(split, ())]
                if len(predictions) == len(moments[split]):  # not where a Trainer was told to test a part only
                    write_predictions(self.folder / f"{split}.jsonl", predictions, moments[split], split)
        self.predictions = {}


def _gather(mine: dict[str, list[Prediction]]) -> list[dict[str, list[Prediction]]]:
    """The predictions of every process."""
    if not torch.distributed.is_initialized():
        return [mine]
    every: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(every, mine)
    return every


class Begun(Callback):
    """Whether training has begun: before, Lightning restores the state that it goes on from."""

    def __init__(self) -> None:
        self.yes = False

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.yes = True


class LastCheckpoint(Callback):
    """Keeps the two newest states of training: `folder`/last.ckpt and, for when that is damaged, previous.ckpt.

    A state is written under another name until it is whole. Besides what Lightning saves it holds the state of the
    random numbers, so that training continues with the numbers it would have drawn.

    When the process is asked to end (SIGTERM), a state is kept first; a SLURM job then queues itself again. During
    validation that state is an earlier one, whose steps are done again.

    Args:
        folder: The folder of the checkpoints.
        every_n_steps: a state is kept after every so many steps, and after each epoch.
    """

    def __init__(self, folder: str, every_n_steps: int) -> None:
        self.folder = Path(folder)
        self.every_n_steps = every_n_steps
        self._random: dict[str, Any] | None = None

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self.every_n_steps == 0:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._save(trainer)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        if isinstance(exception, SIGTERMException) and trainer.state.fn == TrainerFn.FITTING:
            self._save(trainer)
            if trainer.is_global_zero:
                _requeue()

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # Not sooner: setting up draws random numbers too.
        if self._random is not None:
            torch.set_rng_state(self._random["cpu"])
            if self._random["cuda"]:
                torch.cuda.set_rng_state_all(self._random["cuda"])
            self._random = None

    def state_dict(self) -> dict[str, Any]:
        cuda: list[Tensor] = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return {"cpu": torch.get_rng_state(), "cuda": cuda}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._random = state_dict

    def _save(self, trainer: lightning.Trainer) -> None:
        epochs = trainer.fit_loop.epoch_progress.state_dict()["current"]
        epoch_is_over = epochs["processed"] > epochs["completed"]
        # Training that continues from the last batch of an epoch would not validate it.
        if trainer.is_last_batch and not epoch_is_over:
            return
        last = self.folder / LAST.name
        temporary = last.with_name(last.name + ".part")
        try:
            with writing(last):
                trainer.save_checkpoint(temporary)
        except UserError:
            temporary.unlink(missing_ok=True)
            raise
        if trainer.is_global_zero:
            if last.exists():
                last.replace(self.folder / PREVIOUS.name)
            temporary.replace(last)


def _requeue() -> None:
    job = os.environ.get("SLURM_JOB_ID")
    if job is not None:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
        log.warning("SLURM job %s %s", job, "queued again" if done.returncode == 0 else f"not queued: {done.stderr}")
