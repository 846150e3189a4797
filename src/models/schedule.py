"""Learning-rate schedules, stepped once a batch."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def linear(optimizer: Optimizer, steps: int) -> LambdaLR:
    """From the optimizer's rate to zero over `steps`, without warm-up."""
    return LambdaLR(optimizer, lambda step: max(0.0, 1.0 - step / steps))


def constant(optimizer: Optimizer, steps: int) -> LambdaLR:
    """The optimizer's rate throughout."""
    return LambdaLR(optimizer, lambda step: 1.0)
