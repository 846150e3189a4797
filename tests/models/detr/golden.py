"""The published networks' numbers, and this project's networks with their weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from src.data.batch import Inputs
from src.models.detr.detr import DETR, DETRSettings, Prediction, SaliencyTarget, Weights
from src.models.detr.moment_detr import MomentDETRSettings
from src.models.detr.published import rename
from src.models.detr.qd_detr import QDDETRSettings
from src.models.predictor import Streams

KINDS: dict[str, type[DETRSettings]] = {"qd_detr": QDDETRSettings, "moment_detr": MomentDETRSettings}


def build(kind: str, hidden: int, **changes: object) -> DETR:
    settings: dict[str, object] = {
        "hidden": hidden,
        "heads": 8,
        "layers": 2,
        "feed_forward": 128,
        "queries": 10,
        "dropout": 0.0,
        "input_dropout": 0.0,
        "streams": None,
        "max_windows": None,
        "weights": Weights(),
    }
    return KINDS[kind](**{**settings, **changes}).build()  # type: ignore[arg-type]


@dataclass
class Golden:
    numbers: dict[str, Tensor]
    network: nn.ModuleDict

    @property
    def predictor(self) -> DETR:
        return self.network["predictor"]  # type: ignore[return-value]

    def __getitem__(self, name: str) -> Tensor:
        return self.numbers[name]

    @property
    def inputs(self) -> Inputs:
        """What the network looks at only through its streams: the golden files hold no text."""
        count = len(self.video_mask)
        query_mask = self.query_mask
        return Inputs(
            video=self["input/video"],
            narrative=None,
            snippet_mask=self.video_mask,
            query=self["input/query"],
            query_mask=query_mask,
            unknown=torch.zeros_like(query_mask),
            sentences=["a query"] * count,
            duration=torch.full((count,), 150.0),
        )

    @property
    def video_mask(self) -> Tensor:
        return torch.arange(self["input/video"].shape[1]) < self["input/video_length"][:, None]

    @property
    def query_mask(self) -> Tensor:
        return torch.arange(self["input/query"].shape[1]) < self["input/query_length"][:, None]

    @property
    def target(self) -> SaliencyTarget:
        pairs = self["input/saliency_positive"], self["input/saliency_negative"]
        return SaliencyTarget(self["input/saliency"], self.video_mask, *pairs)

    def run(self, samples: slice = slice(None), clips: int | None = None, words: int | None = None) -> Prediction:
        """The network's output for some of the samples, their padding cut to so many clips and words."""
        video = self.network["embed_video"].projection(self["input/video"][samples, :clips])
        query = self.network["embed_query"].projection(self["input/query"][samples, :words])
        masks = self.video_mask[samples, :clips], self.query_mask[samples, :words]
        return self.predictor(Streams(video, masks[0], query, masks[1], self.inputs, progress=1.0))

    def parameter(self, published: str) -> nn.Parameter:
        return self.network.get_parameter(rename(published))


def sizes(numbers: dict[str, Tensor]) -> dict[str, int]:
    """The sizes of the network behind a golden file; the number of heads does not show in weights."""
    width, hidden = numbers["weight/transformer.encoder.layers.0.linear1.weight"].shape
    stack = re.compile(r"weight/transformer\.encoder\.layers\.(\d+)\.")
    layers = {found[1] for name in numbers if (found := stack.match(name))}
    heads = int(numbers["meta/heads"]) if "meta/heads" in numbers else 8
    queries = len(numbers["weight/query_embed.weight"])
    return {"hidden": hidden, "feed_forward": width, "layers": len(layers), "queries": queries, "heads": heads}


def load(shared: Path, kind: str) -> Golden:
    with np.load(shared / "parity" / f"{kind}.npz") as file:
        numbers = {name: torch.from_numpy(file[name]) for name in file.files}
    predictor = build(kind, **sizes(numbers))
    clip_dim, word_dim = numbers["input/video"].shape[2], numbers["input/query"].shape[2]
    network = nn.ModuleDict(
        {
            "embed_video": predictor.embedding(clip_dim - 2, "video"),
            "embed_query": predictor.embedding(word_dim, "query"),
            "predictor": predictor,
        }
    )
    golden = Golden(numbers, network)
    published = [name.removeprefix("weight/") for name in numbers if name.startswith("weight/")]
    with torch.no_grad():
        for name in published:
            golden.parameter(name).copy_(numbers[f"weight/{name}"])
    assert {rename(name) for name in published} == set(network.state_dict())
    return golden
