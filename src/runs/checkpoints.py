"""Checkpoints: reading them without running code from them, and telling whether they fit a config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from src.errors import UserError, reason

LAST, PREVIOUS = Path("checkpoints/last.ckpt"), Path("checkpoints/previous.ckpt")
"""Where a run folder holds its two newest states of training."""

NETWORK = ("features.dim", "text.dim", "merger.", "paragraph.", "match.", "predictor.")
"""The parts of a config that decide the shape of a network and the meaning of its weights."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of this project, tensors on the CPU.

    Raises:
        UserError: the file is missing, damaged, or not a checkpoint of this project.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}: give ckpt_path/checkpoint a .ckpt file or a run folder")
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(
            f"{path} cannot be read as a checkpoint ({reason(error)}): it is damaged or of another kind"
        ) from error
    if not isinstance(checkpoint, dict) or "config" not in checkpoint or "state_dict" not in checkpoint:
        raise UserError(f"{path} is not a checkpoint of this project: it carries no configuration")
    return checkpoint


def require_same_network(saved: dict[str, Any], cfg: DictConfig, path: Path) -> None:
    """Raise a UserError that names every setting in which a checkpoint's network differs from the config's."""
    here, there = (_flat(config) for config in (OmegaConf.to_container(cfg, resolve=True), saved))
    differences = [
        f"{key} is {there.get(key)} there and {here.get(key)} here"
        for key in sorted(here.keys() | there.keys())
        if key.startswith(NETWORK) and here.get(key) != there.get(key)
    ]
    if differences:
        raise UserError(f"{path} is a checkpoint of another configuration: {'; '.join(differences)}")


def newest_run(folder: Path) -> Path:
    """The newest run folder that holds a checkpoint to continue from.

    Raises:
        UserError: there is none.
    """
    runs = sorted(path.parent.parent for path in folder.glob(f"*/{LAST}"))
    if not runs:
        raise UserError(f"ckpt_path=last: no run under {folder} has a checkpoint to continue from")
    return runs[-1]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as {dotted key: value}."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        key: leaf for name, inner in value.items() for key, leaf in _flat(inner, f"{prefix}.{name}".lstrip(".")).items()
    }
