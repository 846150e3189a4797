"""A network that cannot learn 32 samples by heart has a defect."""

from __future__ import annotations

import pytest
import torch

from src.build import Parts
from src.data.batch import collate
from src.models.method import Method
from src.moments import iou
from tests.compose import compose
from tests.models.golden import without_chance
from tests.models.samples import sample

SMALL = ("features.dim=12", "text.dim=10", "folder=.", "merger=none", "paragraph=none")
LARGER = {
    "vslnet": ("predictor.network.hidden=64",),
    "vslnet_transformer": ("predictor.network.hidden=64",),
    "drn": tuple(
        f"predictor.network.{size}" for size in ("hidden=64", "words=32", "channels=32", "position=16", "pyramid=64")
    ),
    "qave": tuple(f"predictor.network.{size}" for size in ("hidden=64", "inputs=64", "words=32", "head=32")),
    "lgi": ("predictor.network.hidden=64", "predictor.network.attention=32", "predictor.network.kernel=5"),
}
"""Settings of a network large enough, and small enough to be quick."""


@pytest.mark.slow
@pytest.mark.parametrize("predictor", LARGER)
def test_overfits_32_samples(predictor: str) -> None:
    torch.manual_seed(0)
    network = Parts(compose(f"predictor={predictor}", *SMALL, *LARGER[predictor], config="train")).network
    without_chance(network)
    batch = collate([sample(seed, 12 + seed % 18, 3 + seed % 6) for seed in range(32)])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    recall = 0.0
    for step in range(1, 601):
        optimizer.zero_grad()
        torch.stack(list(Method().losses(network.train(), batch).values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if step % 25 == 0:
            with torch.no_grad():
                ranked = network.eval().rank(batch.inputs, top=1)
            recall = float((iou(ranked.windows[:, 0], batch.truth.windows[:, 0]) >= 0.7).float().mean())
            if recall > 0.95:
                break
    assert recall > 0.95
