"""The DETR predictors within the whole network, with each way of merging narratives."""

from __future__ import annotations

import torch
from hydra.utils import instantiate

from src.build import Parts
from src.models.network import Network
from tests.compose import compose

SIZES = ["features.dim=12", "text.dim=10", "predictor.network.hidden=16", "predictor.network.feed_forward=32"]


def network(kind: str, *overrides: str) -> Network:
    torch.manual_seed(0)
    cfg = compose("+recipe=qd_detr", f"predictor={kind}", "folder=.", *SIZES, *overrides, config="train")
    return Parts(cfg).network


def test_the_configured_optimizer_takes_the_published_settings(kind: str) -> None:
    cfg = compose("+recipe=qd_detr", f"predictor={kind}", "folder=.", config="train")
    optimizer = instantiate(cfg.optimizer)(network(kind).parameters())
    assert optimizer.defaults["lr"] == 1e-4
    assert optimizer.defaults["weight_decay"] == 1e-4
    assert (cfg.loader.batch_size, cfg.trainer.max_epochs, cfg.trainer.gradient_clip_val) == (32, 200, 0.1)
