"""Schedules of the learning rate that torch has in steps, as shares of the training."""

from __future__ import annotations

from collections.abc import Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import MultiStepLR


class Steps(MultiStepLR):
    """A rate that is multiplied by a factor at each milestone.

    Args:
        optimizer: Whose rate it is.
        total_iters: Steps of the training.
        milestones: Shares of the training, ascending.
        factor: What the rate is multiplied by.
    """

    def __init__(self, optimizer: Optimizer, total_iters: int, milestones: Sequence[float], factor: float) -> None:
        super().__init__(optimizer, [round(share * total_iters) for share in milestones], factor)
