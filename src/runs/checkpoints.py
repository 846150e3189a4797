"""Checkpoints: reading them without running code from them, and telling whether they fit a config."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from src.errors import UserError, reason
from src.files import whole
from src.models.network import Network
from src.runs.configuration import COMPOSED, LENGTH, RESOLVED, changed_settings, configuration, said

_log = logging.getLogger(__name__)

BEST = Path("checkpoints/best.ckpt")
"""Where a run folder holds the weights of its best epoch."""

LAST, PREVIOUS = Path("checkpoints/last.ckpt"), Path("checkpoints/previous.ckpt")
"""Where it holds its two newest states of training."""


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
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise UserError(f"{path} is not a checkpoint of this project")
    if "configuration" not in checkpoint:
        raise UserError(
            f"{path} carries no configuration that this version reads: evaluate one of an earlier version with that "
            "version, or train it again"
        )
    configuration = checkpoint["configuration"]
    if not isinstance(configuration, dict) or not all(
        isinstance(configuration.get(form), dict) for form in (COMPOSED, RESOLVED)
    ):
        raise UserError(f"{path} is not a checkpoint of this project: its configuration is no mapping")
    return checkpoint


def require_same_run(checkpoint: Mapping[str, Any], cfg: DictConfig, path: Path) -> None:
    """Raise a UserError that names every setting in which a checkpoint's run differs from the config's.

    How long it trains may change.
    """
    changes = changed_settings(checkpoint["configuration"], configuration(cfg))
    if others := {key: values for key, values in changes.items() if key not in LENGTH}:
        raise UserError(
            f"{path} is a checkpoint of another configuration: {said(others)}. Give the settings that it was trained "
            "with (only its length may change), or begin a run of its own without ckpt_path and in another folder"
        )


def newest_state(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The newest state of training in a run folder that can be read, which is said where it is not the newest.

    Raises:
        UserError: there is none.
    """
    path, before = folder / LAST, folder / PREVIOUS
    if not path.is_file() and before.is_file():  # killed between two renames
        path = before
    try:
        return path, read_checkpoint(path)
    except UserError as error:
        if path == before or not before.is_file():
            raise
        _log.warning("%s; continuing from %s", error, before)
        return before, read_checkpoint(before)


def has_state(folder: Path) -> bool:
    """Whether a run folder holds a state of training."""
    return any((folder / state).is_file() for state in (LAST, PREVIOUS))


def best_checkpoint(place: Path) -> Path:
    """The checkpoint of a run folder's best epoch, or the checkpoint that `place` is itself."""
    return place / BEST if place.is_dir() else place


def load_network(network: Network, checkpoint: dict[str, Any], path: Path) -> None:
    """Give a network the weights of a checkpoint, and say that so much of its training is done.

    Raises:
        UserError: the weights are of another network.
    """
    weights = {
        name.removeprefix("network."): weight
        for name, weight in checkpoint["state_dict"].items()
        if name.startswith("network.")
    }
    try:
        network.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UserError(f"{path} holds the weights of another network ({reason(error)})") from error
    network.progress = float(checkpoint.get("progress", 1.0))


def write_network(path: Path, network: Network, configuration: dict[str, Any]) -> None:
    """Write a network as a checkpoint that can be evaluated and searched with, whole or not at all."""
    state = {f"network.{name}": weight for name, weight in network.state_dict().items()}
    with whole(path) as temporary:
        torch.save({"state_dict": state, "configuration": configuration, "progress": network.progress}, temporary)


def newest_run(folder: Path) -> Path:
    """The newest run folder that holds a checkpoint to continue from.

    Raises:
        UserError: there is none.
    """
    # Between two renames there is only the state before the newest.
    runs = {path.parent.parent for state in (LAST, PREVIOUS) for path in folder.glob(f"*/{state}")}
    if not runs:
        raise UserError(f"ckpt_path=last: no run under {folder} has a checkpoint to continue from")
    return max(runs)
