"""Weights and clips of the golden files, by their rule (the parity README)."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_PLAIN = ("logits.conv3d.weight", "head.projection.weight")


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """What a published file of the network holds: its state dict without counts of batches."""
    state = network.state_dict()
    return {name: tuple(value.shape) for name, value in state.items() if not name.endswith("num_batches_tracked")}


def published(build: Callable[[], nn.Module]) -> dict[str, Tensor]:
    """A published file of a network with weights by the rule."""
    with torch.device("meta"):
        network = build()
    return {name: torch.from_numpy(weight(name, shape)) for name, shape in shapes(network).items()}


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    normal = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    fan_in = int(np.prod(shape[1:]))
    if name.endswith("running_mean") or name.endswith("bias"):
        value = 0.1 * normal
    elif name.endswith("running_var"):
        value = 1 + 0.1 * np.abs(normal)
    elif len(shape) == 1:
        value = 1 + 0.1 * normal
    elif name in _PLAIN or name.endswith("branch1.weight"):
        value = normal / np.sqrt(fan_in)
    elif name.endswith("branch2.c.weight"):
        value = 0.5 * normal / np.sqrt(fan_in)
    else:
        value = normal * np.sqrt(2 / fan_in)
    return value.astype(np.float32)


def clip(seed: int, size: tuple[int, int, int]) -> Tensor:
    """(1, 3, T, H, W) float32."""
    ramps = [np.linspace(0.25, 1, side) for side in size]
    grow = (ramps[0][:, None, None] + ramps[1][:, None] + ramps[2]) / 3
    noise = np.random.default_rng(seed).uniform(-1, 1, (1, 3, *size))
    return torch.from_numpy((noise * grow).astype(np.float32))


def described(value: Tensor) -> dict[str, np.ndarray]:
    """What the golden files keep of a map."""
    flat = value.detach().numpy().reshape(-1)
    positions = np.linspace(0, len(flat) - 1, 64).astype(int)
    return {
        "mean": flat.mean(dtype=np.float64),
        "std": flat.std(dtype=np.float64),
        "first": flat[:8],
        "last": flat[-8:],
        "sample": flat[positions],
    }


def require_close(there: np.ndarray | Tensor, golden: np.ndarray, what: str) -> None:
    np.testing.assert_allclose(
        np.asarray(there), golden, rtol=0, atol=1e-4 * max(1.0, float(np.abs(golden).max())), err_msg=what
    )


def require_map(value: Tensor, golden: Mapping[str, Any], where: str) -> None:
    assert tuple(value.shape) == tuple(golden[f"{where}/shape"]), where
    for name, part in described(value).items():
        require_close(part, golden[f"{where}/{name}"], f"{where}/{name}")


def cases(golden: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """The cases of a file with their clips."""
    for case in sorted({name.partition("/")[0] for name in golden if name.endswith("/seed")}):
        yield case, clip(int(golden[f"{case}/seed"]), tuple(int(side) for side in golden[f"{case}/size"]))
