"""The DETR predictors within the whole network, with each way of merging narratives."""

from __future__ import annotations

import pytest
import torch
from hydra.utils import instantiate

from src.build import Parts
from src.data.batch import collate
from src.errors import UserError
from src.models.network import Network
from tests.compose import compose
from tests.models.samples import sample

SIZES = ["features.dim=12", "text.dim=10", "predictor.network.hidden=16", "predictor.network.feed_forward=32"]


def network(kind: str, *overrides: str) -> Network:
    torch.manual_seed(0)
    cfg = compose("+recipe=qd_detr", f"predictor={kind}", "folder=.", *SIZES, *overrides, config="train")
    return Parts(cfg).network


@pytest.mark.parametrize("merger", ["none", "narrative_only", "add", "attention", "concat_mlp"])
def test_every_merger_learns_with_all_its_weights(kind: str, merger: str) -> None:
    net = network(kind, f"merger={merger}")
    batch = collate([sample(1, 20, 5), sample(2, 9, 3)])
    loss = torch.stack(list(net.predictor.losses(net(batch.inputs), batch.inputs, batch.truth, 0.0).values())).sum()
    loss.backward()
    assert loss.isfinite()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_a_paragraph_branch_is_refused(kind: str) -> None:
    with pytest.raises(UserError, match="choose paragraph=none"):
        network(kind, "merger=concat_mlp", "paragraph=query")


def test_the_configured_optimizer_takes_the_published_settings(kind: str) -> None:
    cfg = compose("+recipe=qd_detr", f"predictor={kind}", "folder=.", config="train")
    optimizer = instantiate(cfg.optimizer)(network(kind).parameters())
    assert optimizer.defaults["lr"] == 1e-4
    assert optimizer.defaults["weight_decay"] == 1e-4
    assert (cfg.loader.batch_size, cfg.trainer.max_epochs, cfg.trainer.gradient_clip_val) == (32, 200, 0.1)
