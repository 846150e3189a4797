"""MS-2D-TAN against the golden numbers of Primitives, by which it was trained."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from src.data.batch import Batch
from src.models.network import Network
from src.models.proposals.maps import MapOutput
from src.models.proposals.ms_2d_tan import MS2DTANSettings
from tests.models.proposals.golden import Golden, alone, assert_gradients, order, streams


class GoldenMaps(Golden):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        assert self.published.settings["kernels"] == self.input["kernels"].tolist()
        self.network: Network = self.load(
            MS2DTANSettings(
                **self.published.settings,
                scales=self.input["layers"].tolist(),
                proposals="pool",
                dropout=0.0,
                target_iou=(self.number("min_iou"), self.number("max_iou")),
                most_overlap=self.number("nms"),
            ).build()
        )

    @cached_property
    def shown(self) -> Batch:
        video, length = self.input["video"], self.input["video_length"]
        if self.input["whole_canvas"]:
            length = torch.full_like(length, video.shape[1])
        return self.batch(video, length)

    @cached_property
    def run(self) -> tuple[MapOutput, dict[str, Any]]:
        seen: dict[str, Any] = {}
        predictor = self.network.predictor

        def keep(name: str) -> Any:
            return lambda module, inputs, output: seen.setdefault(name, []).append(output)

        hooks = [predictor.mix.register_forward_hook(keep("sentence"))]
        hooks.append(self.network.embed_query.register_forward_hook(keep("word_states")))
        for scale in predictor.scales:
            for name, module in (("projected", scale.fusion.linear), ("fused", scale.fusion), ("map", scale.blocks[0])):
                hooks.append(module.register_forward_hook(keep(name)))
        output: MapOutput = predictor(streams(self.network, self.shown.inputs))
        for hook in hooks:
            hook.remove()
        return output, seen

    @cached_property
    def place(self) -> Tensor:
        """Of the file's cells among ours."""
        scale, first, last = self.input["cells"].T
        output = self.run[0]
        ours = torch.cat([torch.full_like(cells, number) for number, cells in enumerate(output.maps)])
        span = output.segments.span[output.cells]
        return order(torch.stack((scale, first, last), dim=1), torch.cat((ours[:, None], span), dim=1))


@pytest.fixture(scope="module", params=["primitives", "primitives_released"])
def golden(request: pytest.FixtureRequest, shared: Path) -> GoldenMaps:
    return GoldenMaps(shared / "parity" / f"{request.param}.npz")


def test_outputs_agree(golden: GoldenMaps) -> None:
    (output, seen), batch, place = golden.run, golden.shown, golden.place
    mask, words = golden.input["cell_mask"], golden.input["word_mask"]
    torch.testing.assert_close(output.mask[:, place], mask)

    def assert_same(name: str, ours: Tensor) -> None:
        wanted = golden.output[name]
        torch.testing.assert_close(ours[: len(wanted)], wanted, atol=1e-4, rtol=0, msg=lambda m: f"{name}: {m}")

    frames, _ = golden.network.predictor.frames(streams(golden.network, batch.inputs))
    assert_same("frames", frames.mT)
    assert_same("word_states", seen["word_states"][0] * words[..., None])
    assert_same("sentence", seen["sentence"][0])
    cells = {name: torch.cat(seen[name], dim=1)[:, place] * mask[..., None] for name in ("projected", "fused", "map")}
    assert_same("fused", cells["fused"].mT)
    assert_same("map_layer", cells["map"].mT)
    if "map_projected" in golden.output:
        assert_same("map_projected", cells["projected"].mT)
    logits = torch.where(mask, (output.yes - output.no)[:, place], 0.0)
    torch.testing.assert_close(logits, golden.output["logits"] * mask, atol=1e-4, rtol=0)
    assert_same("prob", output.yes[:, place].exp())
    overlap = output.overlap(batch.truth)
    torch.testing.assert_close(overlap[:, place], golden.input["iou"], atol=1e-5, rtol=0)
    assert_same("target", golden.network.predictor.target(overlap)[:, place])


def test_losses_and_gradients_agree(golden: GoldenMaps) -> None:
    (output, _), batch, network = golden.run, golden.shown, golden.network
    network.zero_grad()
    terms = network.predictor.losses(output, batch.inputs, batch.truth, 0.0)
    assert terms.keys() == {"matching"}
    torch.testing.assert_close(terms["matching"], golden.output["loss_bce"], atol=0, rtol=1e-5)
    terms["matching"].backward()
    assert_gradients(golden, network, golden.group("grad_norm_original/"), 1e-3)


def test_decodes_the_same_moments(golden: GoldenMaps) -> None:
    (output, _), batch = golden.run, golden.shown
    ranked = golden.network.predictor.decode(output, batch.inputs, 5)
    torch.testing.assert_close(ranked.windows, golden.output["top_windows"], atol=1e-4, rtol=0)


def test_a_sample_is_the_same_alone(golden: GoldenMaps) -> None:
    for row in range(len(golden.shown)):
        one = alone(golden.shown.inputs, row)
        output: MapOutput = golden.network.predictor(streams(golden.network, one))
        torch.testing.assert_close(output.yes[0], golden.run[0].yes[row], atol=1e-5, rtol=0)
