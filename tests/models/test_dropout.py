"""Dropout."""

from __future__ import annotations

import torch

from src.models.dropout import Dropout, drop


def test_drops_the_share_it_is_told_to_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    x = torch.ones(1_000_003, requires_grad=True)
    dropped = drop(x, 0.2)
    kept = dropped != 0
    assert abs(float((~kept).float().mean()) - 0.2) < 2e-3
    assert abs(float(dropped.detach().mean()) - 1) < 3e-3
    dropped.sum().backward()
    torch.testing.assert_close(x.grad, dropped.detach())


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(0)
    kept = (drop(torch.ones(400_000), 0.5) != 0).float().view(-1, 4)
    correlation = torch.corrcoef(kept.T)
    torch.testing.assert_close(correlation, torch.eye(4), atol=0.02, rtol=0)


def test_the_seed_decides() -> None:
    torch.manual_seed(3)
    first = drop(torch.ones(101), 0.3)
    torch.manual_seed(3)
    torch.testing.assert_close(drop(torch.ones(101), 0.3), first)


def test_does_nothing_outside_training() -> None:
    x = torch.randn(10)
    assert Dropout(0.5).eval()(x) is x
    assert drop(x, 0.0) is x
