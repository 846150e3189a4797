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

RESAMPLED = ["predictor.network.scales=[8]", "predictor.network.samples=32", "predictor.network.target_iou=[0.3,1.0]"]
SMALL = {
    "tan_2d": [*RESAMPLED, "predictor.network.layers=2", "predictor.network.kernel=3"],
    "tan_2d_pool": [*RESAMPLED, "predictor.network.layers=2", "predictor.network.kernel=3"],
    "ms_2d_tan": [
        *("predictor.network.kernels=[3]", "predictor.network.scales=[8,4,4]", "predictor.network.dropout=0"),
        "predictor.network.target_iou=[0.3,1.0]",
    ],
    "dcm": RESAMPLED,
}


def samples() -> Batch:
    chance, drawn = random.Random(1), []
    torch.manual_seed(1)
    for index in range(32):
        # In eighths of the video, which every map has a cell for.
        length, first = 8 * chance.randint(2, 3), chance.randint(0, 5)
        start, end = first * length / 8, (first + chance.randint(2, 3)) * length / 8
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
    sizes = ["features.dim=12", "text.dim=10", "predictor.network.hidden=32", *SMALL[name]]
    parts = Parts(compose(f"predictor={name}", *sizes, "merger=none", "paragraph=none", "folder=.", config="train"))
    network, data = parts.network, samples()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    recall = 0.0
    for step in range(400):
        optimizer.zero_grad()
        torch.stack(list(Method().losses(network.train(), data).values())).sum().backward()
        optimizer.step()
        if step % 25 == 24:
            with torch.no_grad():
                ranked = network.eval().rank(data.inputs, 1)
            recall = float((iou(ranked.windows[:, 0], data.truth.windows[:, 0]) >= 0.7).float().mean())
            if recall > 0.95:
                break
    assert recall > 0.95
