"""A DETR can learn 32 samples by heart."""

from __future__ import annotations

import random

import pytest
import torch

from src.moments import iou
from tests.models.detr.small import batch, network, sample


@pytest.mark.slow
def test_overfits_32_samples(kind: str) -> None:
    chance = random.Random(1)
    model = network(kind, hidden=64, queries=10, dropout=0.0, input_dropout=0.0)
    samples = []
    for index in range(32):
        clips = chance.randint(12, 30)
        start = chance.uniform(0, 0.7 * clips)
        end = min(clips, start + chance.uniform(2, 0.5 * clips))
        samples.append(sample(str(index), ((start, end),), float(clips), clips, chance.randint(3, 9)))
    data = batch(*samples)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)

    recall = 0.0
    for step in range(500):
        optimizer.zero_grad()
        torch.stack(
            list(model.predictor.losses(model(data.inputs), data.inputs, data.truth, progress=0.0).values())
        ).sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        if step % 50 == 49:
            with torch.no_grad():
                ranked = model.predictor.decode(model(data.inputs), data.inputs, top=1)
            recall = float((iou(ranked.windows[:, 0], data.truth.windows[:, 0]) >= 0.7).float().mean())
            if recall > 0.95:
                break
    assert recall > 0.95
