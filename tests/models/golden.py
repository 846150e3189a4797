"""A file of golden numbers, and the network that conf/ and the reading of published checkpoints make of its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from src.build import Parts
from src.data.batch import GroundTruth, Inputs
from src.data.records import Moment
from src.models.network import Network
from src.models.published import Published
from src.models.releases import read_published
from tests.compose import compose

CLOSE = {"atol": 1e-4, "rtol": 0.0}
"""Of outputs; losses agree to 1e-5 and gradient norms to 1e-3, relative."""


class Golden:
    """The numbers of a file by their names, and `network` with its weights.

    Args:
        path: The file.
        overrides: Settings of the network that no weight tells.
    """

    def __init__(self, path: Path, *overrides: str) -> None:
        with np.load(path) as file:
            self.arrays = {name: file[name] for name in file.files}
        self.published: Published = read_published(path)
        settings = [f"predictor.network.{key}={value}" for key, value in self.published.settings.items()]
        sizes = [f"features.dim={self.published.video_dim}", f"text.dim={self.published.text_dim}"]
        parts = [f"predictor={self.published.predictor}", "merger=none", "paragraph=none"]
        self.network: Network = Parts(
            compose(*parts, *settings, *sizes, *overrides, "folder=.", config="train")
        ).network
        without_chance(self.network)
        missing, unexpected = self.begin()
        assert set(missing) <= {"unknown_word"}
        assert not unexpected

    def begin(self) -> Any:
        """The network as the file has it, before its step."""
        self.network.zero_grad()
        return self.network.train().load_state_dict(self.published.weights, strict=False)

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def __getitem__(self, name: str) -> Tensor:
        array = torch.from_numpy(self.arrays[name])
        return array.float() if array.dtype == torch.float16 else array

    def __call__(self, inputs: Inputs | None = None) -> Any:
        return self.network(inputs if inputs is not None else self.inputs)

    @property
    def predictor(self) -> Any:
        return self.network.predictor

    @property
    def mask(self) -> Tensor:
        return torch.arange(self["input/video"].shape[1]) < self["input/video_length"][:, None]

    @property
    def query_mask(self) -> Tensor:
        if "input/word_ids" in self:
            return self["input/word_ids"] != 0
        return torch.arange(self["input/query"].shape[1]) < self["input/query_length"][:, None]

    @property
    def query(self) -> Tensor:
        """The word vectors; a file whose network learns a table of them holds that."""
        return self["input/query"]

    @property
    def unknown(self) -> Tensor:
        return torch.zeros_like(self.query_mask)

    @property
    def sentences(self) -> list[str]:
        return ["a query"] * len(self.mask)

    @property
    def duration(self) -> Tensor:
        return self["input/duration"]

    @property
    def windows(self) -> Tensor:
        """(B, 2) seconds."""
        return self["input/window"]

    @property
    def inputs(self) -> Inputs:
        return Inputs(
            video=self["input/video"],
            narrative=None,
            snippet_mask=self.mask,
            query=self.query,
            query_mask=self.query_mask,
            unknown=self.unknown,
            sentences=self.sentences,
            duration=self.duration,
        )

    @property
    def target(self) -> Tensor:
        """(B, 2) the first and last snippet."""
        if "input/start_index" not in self:
            return torch.zeros(len(self.mask), 2, dtype=torch.long)
        return torch.stack((self["input/start_index"], self["input/end_index"]), dim=1)

    @property
    def truth(self) -> GroundTruth:
        moments = [
            Moment(str(i), str(i), "a query", ((start, end),), duration)
            for i, ((start, end), duration) in enumerate(
                zip(self.windows.tolist(), self.duration.tolist(), strict=True)
            )
        ]
        return GroundTruth(moments, self.windows[:, None].double(), self.target, self.duration)

    def alone(self, sample: int) -> Inputs:
        """The inputs of one sample, without padding."""
        inputs, clips, words = self.inputs, int(self.mask[sample].sum()), int(self.query_mask[sample].sum())
        rows = slice(sample, sample + 1)
        assert inputs.video is not None
        return Inputs(
            video=inputs.video[rows, :clips],
            narrative=None,
            snippet_mask=inputs.snippet_mask[rows, :clips],
            query=inputs.query[rows, :words],
            query_mask=inputs.query_mask[rows, :words],
            unknown=inputs.unknown[rows, :words],
            sentences=inputs.sentences[sample : sample + 1],
            duration=inputs.duration[rows],
        )

    def losses(self) -> dict[str, Tensor]:
        inputs = self.inputs
        return self.predictor.losses(self(inputs), inputs, self.truth, 0.0)

    def assert_outputs(self, found: dict[str, Tensor | tuple[Tensor, Tensor]]) -> None:
        """Compare each with the file's output of that name: all of it, or what a mask beside it says is valid."""
        for name, ours in found.items():
            values, mask = ours if isinstance(ours, tuple) else (ours, torch.ones((), dtype=torch.bool))
            theirs = self[f"output/{name}"]
            assert values.shape == theirs.shape, name
            torch.testing.assert_close(values[mask], theirs[mask], msg=of(name), **CLOSE)

    def assert_state(self, group: str) -> None:
        """Compare what the network keeps with the file's outputs of a group."""
        ours, prefix = self.network.state_dict(), f"output/{group}/"
        kept = [name.removeprefix(prefix) for name in self.arrays if name.startswith(prefix)]
        assert kept
        for name in kept:
            torch.testing.assert_close(ours[self.published.names[name]], self[f"{prefix}{name}"], msg=of(name), **CLOSE)

    def assert_losses(self, found: dict[str, Tensor]) -> None:
        """Compare each with the file's loss of that name."""
        for name, ours in found.items():
            torch.testing.assert_close(ours, self[f"output/loss_{name}"], atol=0.0, rtol=1e-5, msg=of(name))

    def assert_gradients(self, floor: float, group: str = "grad_norm", but: Sequence[str] = ()) -> None:
        """Compare the norms of all gradients, but of parameters whose names begin as one of `but`."""
        ours = dict(self.network.named_parameters())
        norms = {
            name.removeprefix(f"{group}/"): norm for name, norm in self.arrays.items() if name.startswith(f"{group}/")
        }
        assert norms
        for name, norm in norms.items():
            if not name.startswith(tuple(but)):
                gradient = ours[self.published.names[name]].grad
                found = torch.zeros(()) if gradient is None else gradient.norm()
                torch.testing.assert_close(found, torch.tensor(norm), atol=floor, rtol=1e-3, msg=of(name))


def of(name: str) -> Callable[[str], str]:
    return lambda message: f"{name}: {message}"


def without_chance(network: nn.Module) -> None:
    """Leave nothing to dropout."""
    for module in network.modules():
        for name in ("dropout", "probability"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


@contextmanager
def watched(**modules: nn.Module) -> Iterator[dict[str, list[Any]]]:
    """What each of these modules gives, call after call."""
    seen: dict[str, list[Any]] = {name: [] for name in modules}
    hooks = [
        module.register_forward_hook(lambda _, __, output, name=name: seen[name].append(output))
        for name, module in modules.items()
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
