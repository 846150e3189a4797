"""A point predictor can learn 32 samples by heart."""

from __future__ import annotations

import pytest
import torch

from src.build import Parts
from src.data.batch import collate
from src.models.method import Method
from src.moments import iou
from tests.compose import compose
from tests.models.samples import sample

SMALL = ["features.dim=12", "text.dim=10", "folder=.", "merger=none", "paragraph=none", "predictor.network.hidden=64"]
STILL = {"univtg": ["predictor.network.depth_dropout=0", "predictor.network.input_dropout=0"]}


@pytest.mark.slow
@pytest.mark.parametrize("predictor", STILL)
def test_overfits_32_samples(predictor: str) -> None:
    torch.manual_seed(0)
    given = [f"predictor={predictor}", *SMALL, *STILL[predictor], "predictor.network.feed_forward=128"]
    network = Parts(compose(*given, config="train")).network
    batch = collate([sample(seed, 12 + seed % 18, 3 + seed % 6) for seed in range(32)])
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-4)
    recall = 0.0
    for step in range(1, 501):
        optimizer.zero_grad()
        torch.stack(list(Method().losses(network.train(), batch).values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.1)
        optimizer.step()
        if step % 25 == 0:
            with torch.no_grad():
                ranked = network.eval().rank(batch.inputs, top=1)
            recall = float((iou(ranked.windows[:, 0], batch.truth.windows[:, 0]) >= 0.7).float().mean())
            if recall > 0.95:
                break
    assert recall > 0.95
