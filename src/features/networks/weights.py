"""Published weights: read without running what a file says, fitted to a network in full, never fetched."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from src.errors import UserError, reason
from src.files import require_file

Network = TypeVar("Network", bound=nn.Module)

# What an array is made of in a pickle, under NumPy's old module names and its new ones.
_OF_ARRAYS = frozenset(
    {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}
    | {(f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")}
)
_COUNTS = "num_batches_tracked"


def missing_weights(path: Path, source: str) -> list[str]:
    """What to do about a file of weights that is not there; nothing if it is.

    Args:
        path: Where it is looked for.
        source: Its address and size.
    """
    if path.is_file():
        return []
    return [f"no weights at {path}: get them from {source} and put them there, or give features.weights=FILE"]


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in full."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_torch(path: Path) -> dict[str, Tensor]:
    """The state dict in a file that `torch.save` wrote, in either of its formats; nothing else is unpickled.

    Raises:
        UserError: It is damaged, or no dictionary of tensors.
    """
    try:
        require_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:  # a damaged file can make the libraries beneath raise anything
        raise UserError(f"{path} is damaged, or no file of weights ({reason(error)[:200]}): get it again") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path} holds no dictionary of tensors")
    return {str(name).removeprefix("module."): value for name, value in state.items()}


def read_caffe2(path: Path, names: Mapping[str, str]) -> dict[str, Tensor]:
    """The weights in a pickle of Caffe2, which maps `blobs` to arrays. Only arrays are unpickled: no code runs.

    Args:
        path: The file.
        names: What the pickle calls each weight, by our name. Blobs of the optimizer are left out.

    Raises:
        UserError: It is damaged, asks for anything but arrays, or lacks weights or has others.
    """
    try:
        require_file(path)
        with path.open("rb") as file:
            blobs = _ArraysOnly(file, encoding="latin1").load()["blobs"]
        arrays = {str(name): value for name, value in blobs.items() if not _is_optimizers(str(name))}
        if not all(isinstance(value, np.ndarray) for value in arrays.values()):
            raise UserError("its blobs are not all arrays")
        lacking, rest = sorted(set(names.values()) - arrays.keys()), sorted(arrays.keys() - set(names.values()))
        if lacking or rest:
            raise UserError(_told(lacking, rest))
        return {ours: torch.from_numpy(np.array(arrays[theirs], np.float32)) for ours, theirs in names.items()}
    except Exception as error:  # a damaged file can make a pickle raise anything
        raise UserError(
            f"{path} is damaged, or not the published pickle ({reason(error)[:300]}): get it again"
        ) from error


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _OF_ARRAYS:
            raise UserError(f"it asks for {module}.{name}, which is no array")
        return super().find_class(module, name)


def _is_optimizers(blob: str) -> bool:
    return blob.endswith("_momentum") or blob in ("lr", "model_iter")


def loaded(build: Callable[[], Network], state: Mapping[str, Tensor], where: Path | str) -> Network:
    """A network with the weights of a published file, in evaluation mode.

    Args:
        build: Makes the network.
        state: The weights by the names of its state dict; counts of batches may lack.
        where: The file, for messages.

    Raises:
        UserError: A weight lacks, is left over, or has another shape, as with another number of classes.
    """
    with torch.device("meta"):
        network = build()
    wanted = network.state_dict()
    lacking = sorted(name for name in wanted.keys() - state.keys() if not name.endswith(_COUNTS))
    rest = sorted(state.keys() - wanted.keys())
    if lacking or rest:
        raise UserError(f"{where} holds the weights of another network: {_told(lacking, rest)}")
    for name, value in state.items():
        if value.shape != wanted[name].shape:
            raise UserError(
                f"{where} holds the weights of another network: {name} is {tuple(value.shape)}, not "
                f"{tuple(wanted[name].shape)}"
            )
        if value.is_floating_point() and not value.isfinite().all():
            raise UserError(f"{where} is damaged: {name} holds what is not finite")
    counts = {name: torch.tensor(0) for name in wanted if name.endswith(_COUNTS)}
    network.load_state_dict(
        counts | {name: value.float() for name, value in state.items() if name not in counts}, assign=True
    )
    return network.eval().requires_grad_(False)


def _told(lacking: list[str], rest: list[str]) -> str:
    parts = [
        f"{len(names)} {what}, such as {names[0]}"
        for what, names in (("lack", lacking), ("are left over", rest))
        if names
    ]
    return "; ".join(parts)
