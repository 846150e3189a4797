"""Checkpoints of published networks, read without running code from them.

Each network's own `published` module says how its weights are named there and here; `src.models.releases` lists them.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from src.errors import UserError, reason

Weights = Mapping[str, Tensor]
"""A state dict, by the published names."""


@dataclass(frozen=True)
class Published:
    """A published network, as one of this project's.

    Attributes:
        predictor: The name of its config.
        settings: What its weights say of the predictor's settings, by their names.
        video_dim, text_dim: The sizes of the features it reads, without what a network puts beside them.
        weights: by the names of `src.models.network.Network`, float32.
        names: Our name of each published weight that is among them.
    """

    predictor: str
    settings: dict[str, Any]
    video_dim: int
    text_dim: int
    weights: dict[str, Tensor]
    names: dict[str, str]


@dataclass(frozen=True)
class Release:
    """How the checkpoints of a published network are told from others', and read.

    Attributes:
        network: Its name in its paper.
        marks: Weights that all of its checkpoints have, and no other network's.
        read: Makes one of ours of its state dict, in which `marks` are.
    """

    network: str
    marks: tuple[str, ...]
    read: Callable[[Weights], Published]


LSTM: tuple[tuple[str, str], ...] = (
    (r"\.(weight|bias)_(ih|hh)_l(\d)$", r".layers.\3.forwards.\1_\2_l0"),
    (r"\.(weight|bias)_(ih|hh)_l(\d)_reverse$", r".layers.\3.backwards.\1_\2_l0"),
)
"""torch's bidirectional LSTM as a `StackedLSTM`."""


def rename(name: str, rules: Sequence[tuple[str, str]]) -> str:
    """A name after all `rules`, (pattern, replacement), in their order, each wherever it matches."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def count(weights: Weights, pattern: str) -> int:
    """How many different numbers stand in the place of `pattern`'s group in the names of weights."""
    return len({found[1] for name in weights if (found := re.match(pattern, name))})


def read_weights(path: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint by their names, without running code from it.

    Args:
        path: .ckpt, .pt, .pth (the state dict, or a dictionary that holds it as `model` or `state_dict`), .safetensors
            or .npz.

    Raises:
        UserError: there is no such file, or it cannot be read safely.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}: give convert_checkpoint the file that the authors published")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                names = [name for name in file.files if name.startswith("weight/")]
                return {name.removeprefix("weight/"): torch.from_numpy(file[name]) for name in names or file.files}
        # The authors' checkpoints carry their command line; its class only holds values.
        with torch.serialization.safe_globals([argparse.Namespace]):
            saved = torch.load(path, map_location="cpu", weights_only=True)
        saved = saved.get("model", saved.get("state_dict", saved))
        weights = {name: value for name, value in saved.items() if isinstance(value, Tensor)}
        # Networks that were trained on several devices at once.
        return {name.removeprefix("module."): weight for name, weight in weights.items()}
    except Exception as error:
        raise UserError(
            f"{path} cannot be read without running code from it, or is damaged ({reason(error)})"
        ) from error
