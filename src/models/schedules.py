"""Learning rates over a training, a step at a time."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class Steps(LRScheduler):
    """Rises linearly to the full rate, and falls by a factor at each of some milestones.

    Args:
        optimizer: Whose rate it is.
        total_iters: The steps of the whole training.
        warmup: The share of training in which the rate rises.
        milestones: The shares of training after which it falls.
        factor: What it is multiplied with there.
    """

    def __init__(
        self, optimizer: Optimizer, total_iters: int, warmup: float, milestones: Sequence[float], factor: float
    ) -> None:
        self.total_iters = total_iters
        self.warmup = warmup
        self.milestones = list(milestones)
        self.factor = factor
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        """The rate of each parameter group in the step that comes."""
        rise = min(1.0, (self.last_epoch + 1) / max(1.0, self.warmup * self.total_iters))
        fallen = sum(self.last_epoch >= milestone * self.total_iters for milestone in self.milestones)
        return [rate * rise * self.factor**fallen for rate in self.base_lrs]
