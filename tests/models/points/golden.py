"""The numbers of published point predictors, and this project's networks with their weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from src.build import Parts
from src.data.batch import GroundTruth, Inputs
from src.data.records import Moment
from src.models.network import Network
from src.models.predictor import Streams
from src.models.releases import read_published
from tests.compose import compose


@dataclass
class Golden:
    """A golden file, and the network with its weights, in training mode and without chance."""

    numbers: dict[str, Tensor]
    network: Network
    rename: Callable[[str], str]

    def __getitem__(self, name: str) -> Tensor:
        return self.numbers[name]

    @property
    def mask(self) -> Tensor:
        return torch.arange(self["input/video"].shape[1]) < self["input/video_length"][:, None]

    @property
    def query_mask(self) -> Tensor:
        return torch.arange(self["input/query"].shape[1]) < self["input/query_length"][:, None]

    @property
    def inputs(self) -> Inputs:
        query_mask = self.query_mask
        return Inputs(
            video=self["input/video"],
            narrative=None,
            snippet_mask=self.mask,
            query=self["input/query"],
            query_mask=query_mask,
            unknown=torch.zeros_like(query_mask),
            sentences=["a query"] * len(query_mask),
            duration=self["input/duration"],
        )

    @property
    def truth(self) -> GroundTruth:
        """The windows, and the labels as one annotator's scores."""
        moments = []
        rows = zip(self["input/windows"], self["input/saliency"], self["input/duration"].tolist(), strict=True)
        for number, (windows, labels, duration) in enumerate(rows):
            clips = labels.nonzero().squeeze(1).tolist()
            moments.append(
                Moment(
                    str(number),
                    f"v{number}",
                    "a query",
                    tuple(map(tuple, windows[~windows[:, 0].isnan()].double().tolist())),
                    duration,
                    saliency=tuple((float(labels[clip]), 0.0, 0.0) for clip in clips),
                    relevant_clips=tuple(clips),
                    clip_seconds=duration / int(self["input/video_length"][number]),
                )
            )
        return GroundTruth.of(moments)

    def streams(self, samples: slice = slice(None), clips: int | None = None, words: int | None = None) -> Streams:
        """What the predictor sees of some samples, their padding cut to so many clips and words."""
        assert self.network.embed_video is not None
        video = self.network.embed_video.projection(self["input/video"][samples, :clips])
        query = self.network.embed_query.projection(self["input/query"][samples, :words])
        masks = self.mask[samples, :clips], self.query_mask[samples, :words]
        return Streams(video, masks[0], query, masks[1], self.inputs, progress=1.0)

    def gradient(self, published: str) -> Tensor:
        """The norm of the gradient of a published parameter."""
        gradient = self.network.get_parameter(self.rename(published)).grad
        return torch.zeros(()) if gradient is None else gradient.norm()


def load(file: Path, predictor: str, rename: Callable[[str], str], *overrides: str) -> Golden:
    """A golden file, and the configured network in the sizes and with the weights of the file."""
    with np.load(file) as opened:
        numbers = {name: torch.from_numpy(opened[name]) for name in opened.files}
    published = read_published(file)
    assert published.predictor == predictor
    given = [f"predictor.network.{name}={value}" for name, value in published.settings.items()]
    given += [f"features.dim={published.video_dim}", f"text.dim={published.text_dim}", f"predictor={predictor}"]
    cfg = compose(*given, *overrides, "merger=none", "paragraph=none", "folder=.", config="train")
    network = Parts(cfg).network
    missing, unexpected = network.load_state_dict(published.weights, strict=False)
    assert (missing, unexpected) == (["unknown_word"], [])
    return Golden(numbers, network.train(), rename)
