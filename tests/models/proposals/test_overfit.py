"""A network of maps can learn 32 samples by heart."""

from __future__ import annotations

import random

import pytest
import torch

from src.build import Parts
from src.data.batch import Batch, Labelled, Sample, collate
from src.data.records import Moment
from src.models.method import Method
from src.moments import iou
from tests.compose import compose

SMALL = {
    "tan_2d": ["predictor.network.layers=2"],
    "tan_2d_pool": ["predictor.network.layers=2"],
    "ms_2d_tan": ["predictor.network.kernels=[5]", "predictor.network.scales=[8,4,4]", "predictor.network.dropout=0"],
}


def samples() -> Batch:
    chance, drawn = random.Random(1), []
    torch.manual_seed(1)
    for index in range(32):
        length = chance.randint(16, 30)
        start = chance.uniform(0, 0.6) * length
        end = start + chance.uniform(0.25, 0.4) * length
        moment = Moment(str(index), str(index), "a query", ((start, end),), float(length))
        words = torch.randn(chance.randint(3, 9), 10)
        sample = Sample(
            moment.query, moment.duration, torch.randn(length, 12), None, length, words, torch.zeros(len(words)).bool()
        )
        drawn.append(Labelled(sample, moment, (0, 0)))
    return collate(drawn)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_overfits_32_samples(name: str) -> None:
    torch.manual_seed(0)
    sizes = ["features.dim=12", "text.dim=10", "predictor.network.hidden=64", *SMALL[name]]
    parts = Parts(compose(f"predictor={name}", *sizes, "merger=none", "paragraph=none", "folder=.", config="train"))
    network, data = parts.network, samples()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    recall = 0.0
    for step in range(600):
        for losses in (Method().losses,):
            optimizer.zero_grad()
            torch.stack(list(losses(network.train(), data).values())).sum().backward()
            optimizer.step()
        if step % 25 == 24:
            with torch.no_grad():
                ranked = network.eval().rank(data.inputs, 1)
            recall = float((iou(ranked.windows[:, 0], data.truth.windows[:, 0]) >= 0.7).float().mean())
            if recall > 0.95:
                break
    assert recall > 0.95
