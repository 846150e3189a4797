"""Inception-I3D against the golden numbers of the released network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from src.features.networks.i3d import CLASSES, DIM, I3D, ClassLayer
from src.features.networks.weights import loaded
from tests.features.networks.golden import cases, clip, published, require_close, require_map, shapes, weight


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return published(lambda: I3D(CLASSES["kinetics"]))


@pytest.fixture(scope="module")
def network(weights: dict[str, Tensor]) -> I3D:
    return loaded(lambda: I3D(CLASSES["kinetics"]), weights, "the golden file")


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, Any]:
    with np.load(shared / "parity" / "i3d.npz") as file:
        return dict(file)


@torch.inference_mode()
def test_golden_numbers(network: I3D, weights: dict[str, Tensor], golden: dict[str, Any]) -> None:
    there = dict(zip(golden["names"].tolist(), golden["shapes"].tolist(), strict=True))
    assert there == {name: ",".join(map(str, value.shape)) for name, value in weights.items()}
    for name in (key for key in golden if key.startswith("weight/")):
        assert np.array_equal(weights[name.removeprefix("weight/")].flatten()[:8].numpy(), golden[name].reshape(-1)[:8])
    charades = ClassLayer(DIM, CLASSES["charades"])
    charades.load_state_dict(
        {name: torch.from_numpy(weight(f"logits.{name}", shape)) for name, shape in shapes(charades).items()}
    )
    for case, frames in cases(golden):
        require_map(frames, golden, f"{case}/input")
        maps = frames
        for name, layer in network.named_children():
            if name == "logits":
                break
            maps = layer(maps)
            require_map(maps, golden, f"{case}/{name}")
        released = bool(golden[f"{case}/released_pool"])
        pooled = network(frames) if released else F.avg_pool3d(maps, (2, *maps.shape[3:]), stride=1)
        require_close(pooled, golden[f"{case}/pooled"], f"{case}/pooled")
        require_close(network.logits(pooled), golden[f"{case}/logits_400"], f"{case}/logits_400")
        require_close(charades(pooled), golden[f"{case}/logits_157"], f"{case}/logits_157")


@torch.inference_mode()
def test_a_clip_does_not_depend_on_its_batch(network: I3D, golden: dict[str, Any]) -> None:
    frames = clip(int(golden["c/seed"]), tuple(golden["c/size"]))
    together = network(torch.cat((torch.rand_like(frames), frames)))
    require_close(together[1:], golden["c/pooled"], "c/pooled")
