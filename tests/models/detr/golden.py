"""The published networks' numbers, and this project's networks with their weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.testing import assert_close

from src.data.batch import Inputs
from src.models.detr.detr import DETR, Prediction, Target
from src.models.detr.published import KINDS, Kind
from src.models.mergers import VideoOnly
from src.models.network import Network
from src.models.predictor import Streams
from src.models.releases import read_published
from tests.compose import compose


def build(kind: str, hidden: int, **changes: Any) -> DETR:
    """A predictor of conf/predictor, without chance unless it is asked for."""
    settings = instantiate(compose(f"+predictor={kind}").predictor.network, _convert_="all")
    small = {"feed_forward": 128, "dropout": 0.0, "input_dropout": 0.0, "max_windows": None}
    predictor: DETR = replace(settings, **{"hidden": hidden, **small, **changes}).build()
    return predictor


@dataclass
class Golden:
    """A golden file, and the network with its weights.

    Attributes:
        numbers: all that the file holds.
        kind: which network it is of.
        network: ours, with its weights.
        given, seen: what each module of the predictor took and gave in the last run, by its name, call by call.
    """

    numbers: dict[str, Tensor]
    kind: Kind
    network: Network
    given: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    seen: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        def keep(name: str, given: tuple[Any, ...], seen: Any) -> None:
            self.given[name].append(given)
            self.seen[name].append(seen)

        for name, module in self.network.predictor.named_modules():
            module.register_forward_hook(lambda _, given, seen, name=name: keep(name, given, seen))

    @property
    def predictor(self) -> Any:
        return self.network.predictor

    def __getitem__(self, name: str) -> Tensor:
        return self.numbers[name]

    def __contains__(self, name: str) -> bool:
        return name in self.numbers

    @property
    def dtype(self) -> torch.dtype:
        return self.network.unknown_word.dtype

    @property
    def samples(self) -> int:
        return len(self["input/video"])

    @property
    def inputs(self) -> Inputs:
        """What the network looks at only through its streams: the golden files hold no text."""
        query_mask = self.query_mask
        return Inputs(
            video=self["input/video"][..., :-2],
            narrative=None,
            snippet_mask=self.video_mask,
            query=self["input/query"],
            query_mask=query_mask,
            unknown=torch.zeros_like(query_mask),
            sentences=["a query"] * self.samples,
            duration=self.numbers.get("input/duration", torch.tensor(150.0)).to(self.dtype).expand(self.samples),
        )

    @cached_property
    def video_mask(self) -> Tensor:
        return torch.arange(self["input/video"].shape[1]) < self["input/video_length"][:, None]

    @cached_property
    def query_mask(self) -> Tensor:
        return torch.arange(self["input/query"].shape[1]) < self["input/query_length"][:, None]

    @property
    def target(self) -> Target:
        pairs = self["input/saliency_positive"].long(), self["input/saliency_negative"].long()
        labels = self.numbers.get("input/saliency", torch.zeros_like(self.video_mask)).to(self.dtype)
        first = self.numbers.get("input/first_window_clips", torch.zeros_like(self.video_mask)).bool()
        return Target(self["input/spans"].to(self.dtype), labels, self.video_mask, *pairs, first, self.sources)

    @property
    def sources(self) -> list[str]:
        """Such that samples are followed by one of another source, or not, as the file says."""
        other = self.numbers.get("input/real_negative", torch.ones(self.samples, dtype=torch.bool))
        return [str(number) for number in torch.cat((torch.ones(1), other[:-1])).cumsum(0).tolist()]

    def streams(self, samples: slice = slice(None), clips: int | None = None, words: int | None = None) -> Streams:
        """Some of the samples embedded, their padding cut to so many clips and words."""
        video = self.network.embed_video.projection(self["input/video"][samples, :clips].to(self.dtype))  # type: ignore[union-attr, operator]
        query = self.network.embed_query.projection(self["input/query"][samples, :words].to(self.dtype))  # type: ignore[operator]
        masks = self.video_mask[samples, :clips], self.query_mask[samples, :words]
        return Streams(video, masks[0], query, masks[1], self.inputs, progress=1.0)

    def run(self, samples: slice = slice(None), clips: int | None = None, words: int | None = None) -> Prediction:
        """The network's output for some of the samples, their padding cut to so many clips and words."""
        return self.run_on(self.streams(samples, clips, words))

    def run_on(self, streams: Streams) -> Prediction:
        """The network's output for some streams."""
        self.given.clear()
        self.seen.clear()
        return self.predictor(streams)

    def parameter(self, published: str) -> nn.Parameter | None:
        """Ours of a published name; None where it takes part in nothing."""
        ours = self.kind.rename(published)
        return self.network.get_parameter(ours) if ours else None

    def first(self, module: str, call: int = 0) -> Tensor:
        """What a module of the predictor gave to the samples themselves, without those beside other words."""
        seen: Tensor = self.seen[module][call][: self.samples]
        return seen

    def check(self, outputs: Mapping[str, Tensor], losses: Mapping[str, Tensor], total: Tensor) -> None:
        """Every output of the file (see `assert_outputs`), every loss and every gradient's norm."""
        self.assert_outputs(outputs)
        names = {name.removeprefix("output/loss_") for name in self.numbers if name.startswith("output/loss_")}
        assert names - {"total"} == losses.keys()
        self.assert_losses({**losses, "total": total})
        self.assert_gradients(total)

    def of_decoder(self, output: Prediction) -> dict[str, Tensor]:
        """The published names of what the anchor decoder and its heads give, and of the decoded moments."""
        contents, anchors = self.seen["decoder"][0]
        layers = range(len(contents))
        ranked = self.predictor.decode(output, self.inputs, top=contents.shape[2])
        return {
            **{f"decoder_{layer}": contents[layer] for layer in layers},
            **{f"anchors_{layer}": anchors[layer] for layer in layers},
            **{f"pred_logits_{layer}": output.logits[layer] for layer in layers},
            **{f"pred_spans_{layer}": output.spans[layer] for layer in layers},
            "decoded": torch.cat((ranked.windows, ranked.scores[..., None]), dim=-1),
        }

    def of_set(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The unweighted losses of the moments among the terms."""
        weights = self.predictor.weights
        return {
            name: term / getattr(weights, kind)
            for name, term in terms.items()
            if (kind := name.split("_")[0]) in ("span", "giou", "label")
        }

    @property
    def counted_pairs(self) -> Tensor:
        """What pairs of one clip twice add to the released margin loss, a constant that this project's leaves out."""
        twice = self["input/saliency_positive"] == self["input/saliency_negative"]
        return 2 * self.predictor.weights.margin * twice.to(self.dtype).mean()

    def assert_outputs(self, ours: Mapping[str, Tensor]) -> None:
        """Every output of the file but its losses, where a clip or word is."""
        theirs = {
            name.removeprefix("output/"): value.to(self.dtype)
            for name, value in self.numbers.items()
            if name.startswith("output/") and not name.startswith(("output/loss_", "output/shifted_loss_"))
        }
        assert theirs.keys() - ours.keys() == set()
        for name in theirs:
            mine, published = self.valid(ours[name].to(self.dtype)), self.valid(theirs[name])
            if name == "decoded":  # moments of one probability stand in any order
                mine, published = by_start(mine), by_start(published)
            scale = max(1.0, float(published.abs().max()))
            message = lambda text, name=name: f"{name}: {text}"  # noqa: E731
            assert_close(mine, published, atol=1e-4 * scale, rtol=0.0, msg=message)

    def valid(self, x: Tensor) -> Tensor:
        """x (B, N, …) with zeros where no clip or word is, if it is of clips or words."""
        for mask in (self.video_mask, self.query_mask):
            if x.dim() > 1 and x.shape[:2] == mask.shape:
                x = torch.where(mask.view(*mask.shape, *[1] * (x.dim() - 2)), x, 0.0)
        return x

    def assert_losses(self, ours: Mapping[str, Tensor]) -> None:
        """Losses by their published names, unweighted."""
        for name, loss in ours.items():
            message = lambda text, name=name: f"{name}: {text}"  # noqa: E731
            assert_close(loss, self[f"output/loss_{name}"].to(self.dtype).view(()), atol=1e-6, rtol=1e-5, msg=message)

    def assert_gradients(self, total: Tensor) -> None:
        """The norm of every parameter's gradient."""
        total.backward()
        for name, norm in self.numbers.items():
            if name.startswith("grad_norm/"):
                parameter = self.parameter(name.removeprefix("grad_norm/"))
                gradient = None if parameter is None else parameter.grad
                ours = torch.zeros((), dtype=self.dtype) if gradient is None else gradient.norm()
                message = lambda text, name=name: f"{name}: {text}"  # noqa: E731
                assert_close(ours, norm.to(self.dtype).view(()), atol=1e-5, rtol=1e-3, msg=message)


def by_start(moments: Tensor) -> Tensor:
    """Moments (B, N, 3) by when they start."""
    return moments.gather(1, moments[..., :1].argsort(dim=1).expand_as(moments))


def load(place: Path, **changes: Any) -> Golden:
    """A golden file, and the network of its sizes. The number of heads does not show in weights."""
    with np.load(place) as file:
        numbers = {name: torch.from_numpy(file[name]) for name in file.files}
    published = read_published(place)
    heads = int(numbers["input/heads"]) if "input/heads" in numbers else 8
    predictor = build(published.predictor, **{**published.settings, "heads": heads, **changes})
    network = Network(predictor, VideoOnly(predictor.hidden), None, None, published.video_dim, published.text_dim)
    missing, unexpected = network.load_state_dict(published.weights, strict=False)
    assert (missing, unexpected) == (["unknown_word"], [])
    return Golden(numbers, next(kind for kind in KINDS if kind.predictor == published.predictor), network)
