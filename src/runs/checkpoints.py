"""Checkpoints: reading them without running code from them, and telling whether they fit a config."""

from __future__ import annotations

import json
import logging
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from src.errors import UserError, reason
from src.files import parse_json, shown, whole
from src.models.network import Network
from src.places import WEIGHTS
from src.runs.configuration import COMPOSED, LENGTH, RESOLVED, changed_settings, configuration, said
from src.runs.folder import read_status

_log = logging.getLogger(__name__)

BEST = Path("checkpoints/best.ckpt")
"""Where a run folder holds the weights of its best epoch."""

LAST, PREVIOUS = Path("checkpoints/last.ckpt"), Path("checkpoints/previous.ckpt")
"""Where it holds its two newest states of training."""

_TIED = 4
"""Names under which a network holds one weight, at most, on average."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of this project, tensors on the CPU; one that comes with it may have a `notice` to be shown.

    Raises:
        UserError: the file is missing, damaged, or not a checkpoint of this project.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}: give ckpt_path/checkpoint a .ckpt file or a run folder")
    _require_unpacked(path)
    try:
        checkpoint = _read_shipped(path) if path.suffix == ".safetensors" else _read_own(path)
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


def _read_own(path: Path) -> dict[str, Any]:
    return torch.load(path, map_location="cpu", weights_only=True)


def _read_shipped(path: Path) -> dict[str, Any]:
    with safe_open(path, "pt") as file:
        about = file.metadata() or {}
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    configuration = parse_json(about.get("configuration", ""), path)
    return {"state_dict": weights, "configuration": configuration, "notice": about.get("notice")}


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


# What Lightning reads when it goes on with a training.
_STATE = {
    "callbacks": dict,
    "epoch": int,
    "global_step": int,
    "loops": dict,
    "lr_schedulers": list,
    "optimizer_states": list,
    "pytorch-lightning_version": str,
}


def read_state(path: Path) -> dict[str, Any]:
    """Read a checkpoint that training can go on from, without touching any file but its own.

    The state of Lightning's ModelCheckpoint names the files that it deletes once a better network is found.

    Raises:
        UserError: as `read_checkpoint`, or it holds no state of training that is safe to go on from.
    """
    checkpoint = read_checkpoint(path)
    missing = [key for key, kind in _STATE.items() if not isinstance(checkpoint.get(key), kind)]
    if missing or not all(isinstance(state, dict) for state in checkpoint["callbacks"].values()):
        raise UserError(
            f"{path} holds no state of training to continue from (it lacks {', '.join(missing) or 'callbacks'}): its "
            "network can be evaluated, or training started again"
        )
    for state in checkpoint["callbacks"].values():
        if "best_model_path" not in state:
            continue
        folder, kept = state.get("dirpath"), state.get("best_k_models")
        files = [state["best_model_path"], state.get("kth_best_model_path"), state.get("last_model_path")]
        files += list(kept) if isinstance(kept, dict) else []
        if not isinstance(folder, str) or not all(_is_in(folder, file) for file in files if file):
            raise UserError(f"{path} is not continued from: it would delete files outside its folder of checkpoints")
    return checkpoint


def _is_in(folder: str, file: Any) -> bool:
    return isinstance(file, str) and Path(file).suffix == ".ckpt" and os.path.dirname(file) == folder.rstrip("/")


def newest_state(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The newest state of training in a run folder that can be read, which is said where it is not the newest.

    Raises:
        UserError: there is none.
    """
    path, before = folder / LAST, folder / PREVIOUS
    if not path.is_file() and before.is_file():  # killed between two renames
        path = before
    try:
        return path, read_state(path)
    except UserError as error:
        if path == before or not before.is_file():
            raise
        _log.warning("%s; continuing from %s", error, before)
        return before, read_state(before)


def require_state(folder: Path) -> None:
    """Raise a UserError for a run that kept no state of training when it finished."""
    if not has_state(folder) and (read_status(folder) or {}).get("state") == "finished":
        raise UserError(
            f"{folder} holds a finished run that kept no state of training (keep_state=false): its network can be "
            "evaluated; to train it for longer, train it again in another folder"
        )


def leave_states(folder: Path, newest: bool) -> None:
    """Remove the states of a finished run: the one before the newest, and where `newest` is false that one too."""
    for state in (PREVIOUS, *(() if newest else (LAST,))):
        (folder / state).unlink(missing_ok=True)


def has_state(folder: Path) -> bool:
    """Whether a run folder holds a state of training."""
    return any((folder / state).is_file() for state in (LAST, PREVIOUS))


def best_checkpoint(place: Path) -> Path:
    """The checkpoint of a run folder's best epoch, the checkpoint that `place` is itself, or what comes with this
    project by that name."""
    if place.is_dir():
        return place / BEST
    shipped = WEIGHTS / place.name / f"{place.name}.safetensors"
    return shipped if place.name == str(place) and not place.exists() and shipped.is_file() else place


def load_network(build: Callable[[], Network], checkpoint: Mapping[str, Any], path: Path) -> Network:
    """A network with the weights of a checkpoint, which knows that so much of its training is done.

    Args:
        build: Makes the network with new weights. It is called for its shapes first, on PyTorch's meta device, as
            sizes that a file gives could be any.
        checkpoint: As `read_checkpoint` gives it.
        path: What it was read from, for messages.

    Raises:
        UserError: the weights are damaged or of another network.
    """
    weights, progress = _weights(checkpoint["state_dict"], path), checkpoint.get("progress", 1.0)
    with torch.device("meta"):
        require_same_shapes(build().state_dict(), weights, path)
    if not isinstance(progress, int | float) or not 0 <= progress <= 1:
        raise UserError(f"{path} is damaged: the share of its training that is done is no number from 0 to 1")
    network = build()
    network.load_state_dict(weights)
    network.progress = float(progress)
    return network


def _weights(state: Any, path: Path) -> dict[str, Tensor]:
    """The weights of a network in the state of a `TEA`, which take no more memory than the file lets expect."""
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise UserError(f"{path} holds no weights by name: it is damaged or of another kind")
    weights = {name.removeprefix("network."): weight for name, weight in state.items() if name.startswith("network.")}
    for name, weight in weights.items():
        if not isinstance(weight, Tensor) or weight.layout != torch.strided or weight.is_meta or weight.is_quantized:
            raise UserError(f"{path} holds the weights of another network ({shown(name)} is no tensor of numbers)")
    # A tensor of any shape can be made of one number.
    held = {storage.data_ptr(): storage.nbytes() for storage in (each.untyped_storage() for each in weights.values())}
    if sum(weight.nbytes for weight in weights.values()) > _TIED * sum(held.values()):
        raise UserError(f"{path} is damaged: its weights do not hold numbers of their own")
    for name, weight in weights.items():
        if not weight.isfinite().all():
            raise UserError(f"{path} holds weights that are not finite, in {name}: it is damaged, or training failed")
    return weights


def require_same_shapes(expected: Mapping[str, Tensor], weights: Mapping[str, Tensor], path: Path) -> None:
    """Raise a UserError that names the first of the weights that a network has otherwise, or has not."""
    for name in (*expected, *weights):
        if name not in expected or name not in weights:
            what = f"{name} is {'missing' if name in expected else 'there and should not be'}"
        elif (there := tuple(weights[name].shape)) != (here := tuple(expected[name].shape)):
            what = f"{name} is of shape {there} where its configuration makes it {here}"
        else:
            continue
        raise UserError(f"{path} holds the weights of another network ({what[:400]})")


def _require_unpacked(path: Path) -> None:
    """A checkpoint is an archive whose members stand in it as they are: no more is read than the file holds."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
        return  # PyTorch says what is wrong with it
    if size > path.stat().st_size:
        raise UserError(f"{path} is no checkpoint of this project: it would unpack to {size} bytes")


def write_network(path: Path, network: Network, configuration: dict[str, Any]) -> None:
    """Write a network as a checkpoint that can be evaluated and searched with, whole or not at all."""
    state = {f"network.{name}": weight for name, weight in network.state_dict().items()}
    with whole(path) as temporary:
        torch.save({"state_dict": state, "configuration": configuration, "progress": network.progress}, temporary)


def ship(path: Path, network: Network, configuration: Mapping[str, Any], notice: str) -> None:
    """Write a network to come with this project: as `write_network`, but without what is of this machine.

    Args:
        path: A .safetensors.
        network: Whose weights are written.
        configuration: Of its checkpoint.
        notice: What whoever uses it is to be told.
    """
    state = {f"network.{name}": weight.contiguous() for name, weight in network.state_dict().items()}
    # As resolved it says where things lie here.
    portable = json.dumps({COMPOSED: configuration[COMPOSED], RESOLVED: {}})
    with whole(path) as temporary:
        save_file(state, temporary, {"configuration": portable, "notice": notice})


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
