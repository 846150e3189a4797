"""What a network of maps keeps for the way back grows with the cells that there are, not with the grid."""

from __future__ import annotations

import pytest
import torch

from src.build import Parts
from src.data.batch import Batch, collate
from tests.compose import compose
from tests.models.samples import sample

SMALL = ["features.dim=12", "text.dim=10", "predictor.network.hidden=16", "merger=none", "paragraph=none", "folder=."]


def kept(predictor: str, batch: Batch, *settings: str) -> tuple[int, int]:
    """Numbers kept for the backward pass of the losses of a batch, and the cells of its maps."""
    network = Parts(compose(f"predictor={predictor}", *SMALL, *settings, config="train")).network
    seen: dict[int, int] = {}

    def pack(x: torch.Tensor) -> torch.Tensor:
        if not isinstance(x, torch.nn.Parameter):
            seen[x.data_ptr()] = x.numel()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        output = network(batch.inputs)
        network.predictor.losses(output, batch.inputs, batch.truth, 0.0)
    return sum(seen.values()), len(output.cells)


@pytest.mark.parametrize(
    ("predictor", "settings"),
    [
        ("ms_2d_tan", ["predictor.network.kernels=[5]"]),
        ("tan_2d_pool", ["predictor.network.layers=1", "predictor.network.samples=128"]),
        ("tan_2d", ["predictor.network.layers=1", "predictor.network.samples=128"]),
        ("dcm", ["predictor.network.samples=128"]),
    ],
)
def test_memory_grows_with_the_cells(predictor: str, settings: list[str]) -> None:
    batch = collate([sample(number, 64, 5) for number in range(2)])
    # From two scales to four the segments become three times as many, the grid of all pairs sixteen times as large.
    small, few = kept(predictor, batch, *settings, "predictor.network.scales=[16,8]")
    large, many = kept(predictor, batch, *settings, "predictor.network.scales=[16,8,8,8]")
    assert many < 7 * few
    assert large / small < 1.3 * many / few
