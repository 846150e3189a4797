"""The maps of some cells compute what grids of all of them do, which the benchmark compares them with."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch import Tensor

from benchmarks.dense_maps import dense
from src.build import Parts
from src.data.batch import Batch, collate
from src.models.network import Network
from tests.compose import compose
from tests.models.samples import sample

SMALL = ["features.dim=12", "text.dim=10", "predictor.network.hidden=8", "merger=none", "paragraph=none", "folder=."]


def learned(network: Network, batch: Batch) -> dict[str, Tensor]:
    """The losses, and the gradient of each weight."""
    network.zero_grad()
    losses = network.predictor.losses(network(batch.inputs), batch.inputs, batch.truth, 0.0)
    torch.stack(list(losses.values())).sum().backward()
    return losses | {name: each.grad for name, each in network.named_parameters() if each.grad is not None}


@pytest.mark.parametrize(
    ("predictor", "settings"),
    [
        ("tan_2d", ["predictor.network.scales=[8,4]", "predictor.network.layers=3"]),
        ("tan_2d_pool", ["predictor.network.scales=[8,4]", "predictor.network.layers=2"]),
        ("ms_2d_tan", ["predictor.network.scales=[8,4]", "predictor.network.kernels=[5,3]"]),
        ("dcm", ["predictor.network.scales=[8,4]"]),
    ],
)
def test_cells_compute_what_grids_do(predictor: str, settings: list[str]) -> None:
    torch.manual_seed(0)
    network = Parts(compose(f"predictor={predictor}", *SMALL, *settings, config="train")).network.eval()
    batch = collate([sample(0, 16, 5), sample(1, 11, 4)])
    found = []
    for way in (contextlib.nullcontext(), dense()):
        with way:
            found.append(learned(network, batch))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)
