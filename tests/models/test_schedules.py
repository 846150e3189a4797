"""Learning rates over a training."""

from __future__ import annotations

import pytest
import torch
from torch.optim import SGD

from src.models.schedules import Steps


def rates(steps: int, **settings: object) -> list[float]:
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = Steps(optimizer, total_iters=steps, **settings)  # type: ignore[arg-type]
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_the_rate_rises_then_falls_at_each_milestone() -> None:
    found = rates(10, warmup=0.2, milestones=[0.4, 0.8], factor=0.1)
    assert found == pytest.approx([1.0, 2.0, 2.0, 2.0, 0.2, 0.2, 0.2, 0.2, 0.02, 0.02])


def test_without_warmup_and_milestones_it_stays() -> None:
    assert rates(3, warmup=0.0, milestones=[], factor=0.5) == [2.0] * 3
