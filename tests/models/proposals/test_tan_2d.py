"""2D-TAN against its golden numbers, with either kind of proposals."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from src.data.batch import Batch, Inputs
from src.models.network import Network
from src.models.proposals.maps import MapOutput
from src.models.proposals.tan_2d import TAN2DSettings, marked_layers
from tests.models.proposals.golden import Golden, alone, assert_gradients, order, ranked_windows, streams


class GoldenTAN(Golden):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        shown = {"proposals": "pool", "scales": self.input["scales"].tolist()}
        shown |= {"proposals": "convolution"} if self.published.predictor == "tan_2d" else {}
        assert self.published.settings.items() >= {"kernel": int(self.input["kernel"])}.items()
        self.network: Network = self.load(
            TAN2DSettings(
                **{**self.published.settings, **shown},
                samples=int(self.input["sampled_clips"]),
                target_iou=(self.number("min_iou"), self.number("max_iou")),
                most_overlap=self.number("nms"),
            ).build()
        )

    @cached_property
    def shown(self) -> Batch:
        """The videos of up to 256 clips as they are, the longer ones as the released network sees them."""
        video, length = self.input["video"], self.input["video_length"]
        samples = self.input["video_sampled"]
        most = samples.shape[1]
        short = torch.nn.functional.pad(video[:, :most], (0, 0, 0, max(0, most - video.shape[1])))
        return self.batch(torch.where((length > most)[:, None, None], samples, short), length.clamp(max=most))

    @cached_property
    def run(self) -> tuple[MapOutput, dict[str, Any]]:
        return run(self, self.shown.inputs)


@pytest.fixture(scope="module", params=["tan_2d", "tan_2d_pool"])
def golden(request: pytest.FixtureRequest, shared: Path) -> GoldenTAN:
    return GoldenTAN(shared / "parity" / f"{request.param}.npz")


def run(golden: GoldenTAN, inputs: Inputs) -> tuple[MapOutput, dict[str, Any]]:
    seen: dict[str, Any] = {}
    predictor = golden.network.predictor
    named: dict[str, Any] = {"map": predictor.proposals, "fused": predictor.map.fusion}
    named |= {f"map_layer_{i}": layer for i, layer in enumerate(predictor.map.convolutions)}
    named |= {"word_states": golden.network.embed_query.lstm, "map_projected": predictor.map.fusion.linear}

    def keep(name: str) -> Any:
        return lambda module, inputs, output: seen.update({name: output})

    hooks = [module.register_forward_hook(keep(name)) for name, module in named.items()]
    output: MapOutput = predictor(streams(golden.network, inputs))
    for hook in hooks:
        hook.remove()
    return output, seen


def test_outputs_agree(golden: GoldenTAN) -> None:
    batch = golden.shown
    output, seen = golden.run
    place = order(golden.input["cells"], output.segments.span)
    predictor = golden.network.predictor

    def assert_same(name: str, ours: Tensor) -> None:
        torch.testing.assert_close(ours, golden.output[name], atol=1e-4, rtol=0, msg=lambda m: f"{name}: {m}")

    seen_by = streams(golden.network, batch.inputs)
    assert_same("frames", predictor.frames(seen_by)[0].mT)
    assert_same("sentence", predictor.sentence(seen_by))
    mask = golden.input["word_mask"]
    assert_same("word_states", seen["word_states"] * mask[..., None])
    for name in ("map", "map_projected", "fused"):
        assert_same(name, seen[name][:, place].mT)
    scales = tuple(golden.input["scales"].tolist())
    layers = marked_layers(scales, int(golden.input["kernel"]), int(golden.input["layers"]), torch.device("cpu"))
    for number, layer in enumerate(layers):
        # A cell of the layer before is the same cell where the middle of the kernel lies on it.
        source, target = layer.neighbours.pairs()[len(layer.neighbours.counts) // 2]
        place = torch.full((int(source.max()) + 1,), -1).index_put((source,), target)[place]
        assert_same(f"map_layer_{number}", (seen[f"map_layer_{number}"].relu() * layer.share)[:, place].mT)
        torch.testing.assert_close(layer.share[place, 0], golden.output["map_share"][number])
    assert_same("prob", output.yes[:, place].exp())
    assert_same("logits", (output.yes - output.no)[:, place])
    overlap = output.overlap(batch.truth)
    first, last_frame = golden.input["cells"].T
    torch.testing.assert_close(overlap[:, place], golden.input["iou"][:, first, last_frame], atol=1e-5, rtol=0)
    assert_same("target", predictor.target(overlap)[:, place])


def test_losses_and_gradients_agree(golden: GoldenTAN) -> None:
    batch, network = golden.shown, golden.network
    network.zero_grad()
    output, _ = golden.run
    terms = network.predictor.losses(output, batch.inputs, batch.truth, 0.0)
    assert terms.keys() == {"matching"}
    torch.testing.assert_close(terms["matching"], golden.output["loss_total"], atol=0, rtol=1e-5)
    terms["matching"].backward()
    assert_gradients(golden, network, golden.group("grad_norm/"), 1e-3)


def test_decodes_the_same_moments(golden: GoldenTAN) -> None:
    batch = golden.shown
    output, _ = golden.run
    ranked = golden.network.predictor.decode(output, batch.inputs, 5)
    torch.testing.assert_close(ranked.windows, golden.output["top_windows"], atol=1e-4, rtol=0)
    windows = ranked_windows(output, batch.inputs.duration)
    apart = (windows - golden.output["ranked_windows"]).abs().amax(dim=-1) > 1e-3
    assert apart.float().mean() < 0.02  # near-equal scores may change places


def test_a_sample_is_the_same_alone(golden: GoldenTAN) -> None:
    batch = golden.shown
    together, _ = golden.run
    for row in (0, 2):
        one = alone(batch.inputs, row)
        output: MapOutput = golden.network.predictor(streams(golden.network, one))
        torch.testing.assert_close(output.yes[0], together.yes[row], atol=1e-5, rtol=0)
