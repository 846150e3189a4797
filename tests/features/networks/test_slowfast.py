"""SlowFast against the golden numbers of the released network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from src.features.networks.slowfast import SLOW_FRAMES, SlowFast, caffe2_name
from src.features.networks.weights import loaded
from tests.features.networks.golden import cases, published, require_close, require_map


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return published(SlowFast)


@pytest.fixture(scope="module")
def network(weights: dict[str, Tensor]) -> SlowFast:
    return loaded(SlowFast, weights, "the golden file")


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, Any]:
    with np.load(shared / "parity" / "slowfast.npz") as file:
        return dict(file)


def test_names_are_the_released_ones(weights: dict[str, Tensor], golden: dict[str, Any]) -> None:
    names = [str(name) for name in golden["names"]]
    assert sorted(names) == sorted(weights)
    assert [caffe2_name(name) for name in names] == [str(name) for name in golden["caffe2_names"]]
    assert list(SLOW_FRAMES) == golden["sampling/slow"].tolist()


@torch.inference_mode()
def test_golden_numbers(network: SlowFast, golden: dict[str, Any]) -> None:
    doubled = {case: 2 * frames for case, frames in cases(golden)}
    for case, frames in doubled.items():
        require_map(frames, golden, f"{case}/input")
        slow, fast = frames[:, :, list(SLOW_FRAMES)], frames
        for name, layer in network.named_children():
            if name == "head":
                break
            slow, fast = layer(slow, fast)
            require_map(slow, golden, f"{case}/{name}_slow")
            require_map(fast, golden, f"{case}/{name}_fast")
        features = network(torch.cat((torch.rand_like(frames), frames)))[1:] if case == "a" else network(frames)
        require_close(features, golden[f"{case}/feature"], f"{case}/feature")
        require_close(network.head(features), golden[f"{case}/logits"], f"{case}/logits")
