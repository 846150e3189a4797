"""The LightningModule: a network, the method that teaches it, and the metrics of what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import lightning
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from src.data.batch import Batch, Inputs
from src.errors import UserError
from src.metrics.split import SplitMetrics
from src.models.method import Method
from src.models.network import Network
from src.moments import RankedMoments


class TEA(lightning.LightningModule):
    """Trains and tests a `Network`.

    Args:
        network: What is trained.
        method: How it is taught.
        optimizer: Makes the optimizer of parameter groups.
        scheduler: Makes the schedule of an optimizer over `total_iters` steps, a step at a time.
        validation: The metrics of the validation split.
        tests: The metrics of each test split, by its name, in the order of the test dataloaders.
        top: Moments decoded for each query.
        configuration: What made all this, kept in the checkpoint: with it a checkpoint stands alone.
    """

    def __init__(
        self,
        network: Network,
        method: Method,
        optimizer: Callable[[Iterable[dict[str, Any]]], Optimizer],
        scheduler: Callable[..., LRScheduler],
        validation: SplitMetrics,
        tests: Mapping[str, SplitMetrics],
        top: int,
        configuration: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.network = network
        self.method = method
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.validation = validation
        self.test_splits = list(tests)
        self.tests = nn.ModuleList(tests.values())
        self.top = top
        self.configuration = dict(configuration)
        self._steps = 1
        self._steps_before: int | None = None
        self._turn = 0

    def forward(self, inputs: Inputs) -> RankedMoments:
        """The ranked moments of each query."""
        return self.network.rank(inputs, self.top)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.network.progress = self.global_step / self._steps
        terms = self.method.turns[self._turn](self.network, batch)
        loss = torch.stack(list(terms.values())).sum()
        if not loss.isfinite():
            ids = ", ".join(moment.query_id for moment in batch.truth.moments)
            values = ", ".join(f"{name} {float(term.detach()):.4g}" for name, term in terms.items())
            raise UserError(f"the loss is not finite in epoch {self.current_epoch} ({values}); queries: {ids}")
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch))
        for name, term in terms.items():
            self.log(f"train/{name}", term.detach(), on_step=False, on_epoch=True, batch_size=len(batch))
        return loss

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        # Each call of the closure computes the losses anew, at the weights that the step before has left.
        for turn in range(len(self.method.turns)):
            self._turn = turn
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self._turn = 0

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        _require_finite(batch)
        self.validation.update(self(batch.inputs), batch.truth)

    def on_validation_epoch_end(self) -> None:
        self._report("", self.validation)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, RankedMoments]:
        _require_finite(batch)
        ranked: RankedMoments = self(batch.inputs)
        self.tests[dataloader_idx].update(ranked, batch.truth)  # type: ignore[operator]
        return {"ranked": ranked}

    def on_test_epoch_end(self) -> None:
        for metrics in self.tests:
            assert isinstance(metrics, SplitMetrics)
            self._report("test/", metrics)

    def _report(self, prefix: str, metrics: SplitMetrics) -> None:
        values = {f"{prefix}{name}": value for name, value in metrics.compute().items()}
        metrics.reset()
        # Every process has the reduced value already.
        self.log_dict(values, prog_bar=False, rank_zero_only=False, sync_dist=False, add_dataloader_idx=False)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        steps = self.trainer.estimated_stepping_batches
        if steps == float("inf"):
            raise UserError(
                "how long training is must be known in steps, by which the learning rate falls: give "
                "trainer.max_epochs or trainer.max_steps, also with trainer.max_time"
            )
        self._steps = max(int(steps), 1)
        optimizer = self.optimizer(parameter_groups(self))
        scheduler = self.scheduler(optimizer, total_iters=self._steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_train_start(self) -> None:
        if self._steps_before not in (None, self._steps):
            self._reschedule()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["configuration"] = self.configuration
        checkpoint["progress"] = self.network.progress
        checkpoint["steps"] = self._steps

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.network.progress = checkpoint["progress"]
        self._steps_before = checkpoint.get("steps")

    def _reschedule(self) -> None:
        """The learning rate of a training that was continued with another length, as if it had had that from the start.

        A schedule's state holds its length, and a rate may be made of the one before.
        """
        optimizer, scheduler = self.optimizers(use_pl_optimizer=False), self.lr_schedulers()
        assert isinstance(optimizer, Optimizer)
        assert isinstance(scheduler, LRScheduler)
        stand_in = SGD(
            [{"params": [nn.Parameter(torch.zeros(1))], "lr": group["initial_lr"]} for group in optimizer.param_groups]
        )
        schedule = self.scheduler(stand_in, total_iters=self._steps)
        stand_in.step()  # a schedule warns where none was taken
        for _ in range(self.global_step):
            schedule.step()
        scheduler.load_state_dict(schedule.state_dict())
        for group, other in zip(optimizer.param_groups, stand_in.param_groups, strict=True):
            group["lr"] = other["lr"]


def _require_finite(batch: Batch) -> None:
    """Raise a UserError that names what of a batch no network can answer."""
    inputs = batch.inputs
    for name, values in (("features", inputs.video), ("narratives", inputs.narrative), ("queries", inputs.query)):
        if values is not None and not values.isfinite().all():
            lost = ~values.flatten(1).isfinite().all(dim=1)
            moment = batch.truth.moments[int(lost.nonzero()[0])]
            raise UserError(
                f"the {name} of video {moment.video} (query {moment.query_id}) hold numbers that are not finite: their "
                "store is damaged; delete it and run python -m src.prepare"
            )


def parameter_groups(network: nn.Module) -> list[dict[str, Any]]:
    """Parameters with and without weight decay: vectors (biases, normalisations, word vectors) are not decayed."""
    matrices = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    return [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
