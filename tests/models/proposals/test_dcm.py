"""DCM against its golden numbers."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from src.data.batch import Batch
from src.models.network import Network
from src.models.proposals.dcm import DCMOutput, DCMSettings, distance_correlation, location_loss, position_code
from tests.models.proposals.golden import Golden, alone, assert_gradients, order, ranked_windows, streams


class GoldenDCM(Golden):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        first, *others = self.input["pooling_counts"].tolist()
        self.scales = [first + 1, *others]
        self.network: Network = self.load(
            DCMSettings(
                **self.published.settings,
                scales=self.scales,
                proposals="pool",
                samples=int(self.input["sampled_clips"]),
                heads=int(self.input["heads"]),
                dropout=0.0,
                own=self.number("eta"),
                location=self.number("location_weight"),
                independence=self.number("independence_weight"),
                size=1e-5,
                target_iou=(self.number("min_iou"), self.number("max_iou")),
                most_overlap=self.number("nms"),
            ).build()
        )

    def _shown(self, kind: str) -> Batch:
        """Videos of up to S clips as they are, the longer ones as the released network sees them."""
        video, length = self.input[f"{kind}video"], self.input[f"{kind}video_length"]
        samples = self.input[f"{kind}video_sampled"]
        most = samples.shape[1]
        short = F.pad(video[:, :most], (0, 0, 0, max(0, most - video.shape[1])))
        return self.batch(torch.where((length > most)[:, None, None], samples, short), length.clamp(max=most))

    @cached_property
    def shown(self) -> Batch:
        return self._shown("")

    @cached_property
    def negative(self) -> Batch:
        """The queries, asked of the other videos."""
        return self._shown("negative_")

    @cached_property
    def run(self) -> tuple[DCMOutput, dict[str, Any]]:
        seen: dict[str, Any] = {}
        predictor = self.network.predictor

        def keep(name: str) -> Any:
            return lambda module, inputs, output: seen.update({name: output})

        names = ("proposals", "intervention", "asked", "residual")
        hooks = [getattr(predictor, name).register_forward_hook(keep(name)) for name in names]
        for number, layer in enumerate(predictor.convolutions):
            hooks.append(layer.register_forward_hook(keep(f"map_layer_{number}")))
        for name in ("value", "query"):
            hooks.append(getattr(predictor.intervention, name).register_forward_hook(keep(name)))
        hooks.append(predictor.intervention.query.register_forward_pre_hook(lambda _, x: seen.update(asking=x[0])))
        hooks.append(predictor.residual.register_forward_pre_hook(lambda _, x: seen.update(fused=x[0])))
        output: DCMOutput = predictor(streams(self.network, self.shown.inputs))
        for hook in hooks:
            hook.remove()
        return output, seen


@pytest.fixture(scope="module")
def golden(shared: Path) -> GoldenDCM:
    return GoldenDCM(shared / "parity" / "dcm.npz")


def test_outputs_agree(golden: GoldenDCM) -> None:
    (output, seen), batch, predictor = golden.run, golden.shown, golden.network.predictor
    place = order(golden.input["cells"], output.segments.span)

    def assert_same(name: str, ours: Tensor) -> None:
        torch.testing.assert_close(ours, golden.output[name], atol=1e-4, rtol=0, msg=lambda m: f"{name}: {m}")

    seen_by = streams(golden.network, batch.inputs)
    assert_same("frames", predictor.frames(seen_by)[0].mT)
    assert_same("word_states", seen_by.query * golden.input["word_mask"][..., None])
    assert_same("sentence", predictor.sentence(seen_by))
    assert_same("query", seen["asked"])
    content, location = output.disentangled[0]
    code = position_code(output.segments, int(golden.input["clips"]), predictor.hidden)
    torch.testing.assert_close(code[place].T, golden.output["position_code"], atol=1e-5, rtol=0)
    cells = {
        "map": seen["proposals"],
        "content": content,
        "location": location,
        "asking": seen["asking"],
        "value": seen["value"].relu(),
        "intervention": seen["intervention"],
        "fused": seen["fused"],
        **{f"map_layer_{number}": seen[f"map_layer_{number}"].relu() for number in range(3)},
        "residual": seen["residual"].relu(),
    }
    for name, ours in cells.items():
        assert_same(name, ours[:, place].mT)
    heads = int(golden.input["heads"])
    query, key = (
        x[0].unflatten(-1, (heads, -1)).transpose(0, 1) for x in (seen["query"], predictor.intervention.key(location))
    )
    weight = (query[:, place[:8]] @ key[:, place].mT / query.shape[-1] ** 0.5).softmax(dim=-1)
    assert_same("attention_first", weight)
    assert_same("logits", (output.yes - output.no)[:, place])
    assert_same("prob", output.yes[:, place].exp())
    overlap = output.overlap(batch.truth)
    first, last = golden.input["cells"].T
    torch.testing.assert_close(overlap[:, place], golden.input["iou"][:, first, last], atol=1e-5, rtol=0)
    assert_same("target", predictor.target(overlap)[:, place])
    other = streams(golden.network, golden.negative.inputs)
    assert_same("negative_frames", predictor.frames(other)[0].mT)
    negative = predictor(other)
    assert_same("negative_logits", (negative.yes - negative.no)[:, place])


def test_losses_and_gradients_agree(golden: GoldenDCM) -> None:
    (output, _), batch, network = golden.run, golden.shown, golden.network
    network.zero_grad()
    terms = network.predictor.losses(output, batch.inputs, batch.truth, 0.0)
    negative = network.predictor(streams(network, golden.negative.inputs))
    terms["negative"] = golden.number("negative_weight") * negative.cross_entropy(torch.zeros_like(negative.yes))
    weights = {
        "matching": ("bce", 1.0),
        "negative": ("negative", golden.number("negative_weight")),
        "location": ("location", golden.number("location_weight")),
        "independence": ("independence", golden.number("independence_weight")),
        "size": ("norm", 1e-5),
    }
    assert terms.keys() == weights.keys()
    for name, (theirs, weight) in weights.items():
        expected = weight * golden.output[f"loss_{theirs}"]
        torch.testing.assert_close(terms[name], expected, atol=0, rtol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    total = torch.stack(list(terms.values())).sum()
    torch.testing.assert_close(total, golden.output["loss_total"], atol=0, rtol=1e-5)
    total.backward()
    assert_gradients(golden, network, golden.group("grad_norm/"), 1e-4)


def test_decodes_the_same_moments(golden: GoldenDCM) -> None:
    (output, _), batch = golden.run, golden.shown
    ranked = golden.network.predictor.decode(output, batch.inputs, 5)
    torch.testing.assert_close(ranked.windows, golden.output["top_windows"], atol=1e-4, rtol=0)
    windows = ranked_windows(output, batch.inputs.duration)
    apart = (windows - golden.output["ranked_windows"]).abs().amax(dim=-1) > 1e-3
    assert apart.float().mean() < 0.02  # near-equal scores may change places


def test_a_sample_scores_the_same_alone(golden: GoldenDCM) -> None:
    for row in range(len(golden.shown)):
        output = golden.network.predictor(streams(golden.network, alone(golden.shown.inputs, row)))
        torch.testing.assert_close(output.yes[0], golden.run[0].yes[row], atol=1e-5, rtol=0)


def test_content_that_is_all_the_same_has_finite_gradients() -> None:
    x = torch.ones(6, 4, requires_grad=True)
    distance_correlation(x, x.detach() * 2).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_what_tells_the_other_correlates_with_it() -> None:
    torch.manual_seed(0)
    x = torch.randn(200, 3)
    assert distance_correlation(x, 2 * x) == pytest.approx(1.0, abs=1e-5)
    assert distance_correlation(x, torch.randn(200, 3)) < 0.35


def test_a_location_at_its_place_costs_nothing() -> None:
    code = torch.randn(5, 8)
    assert location_loss(code.expand(2, -1, -1), code) == pytest.approx(0.0, abs=1e-5)
