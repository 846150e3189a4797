"""The published numbers of FlashVTG through this project's own modules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from src.models.points.flash_vtg import FlashVTG, Output
from src.models.points.published import rename_flash_vtg
from tests.models.points.golden import Golden, load

FILES = ["flash_vtg.npz", "flash_vtg_released.npz"]
WEIGHTS = {"distance": ("reg", 1.0), "score": ("cls", 5.0), "contrast": ("sal", 0.1)}
WEIGHTS |= {"saliency": ("saliency", 0.8), "label": ("label", 4.0)}
CLOSE = {"atol": 1e-4, "rtol": 1e-5}


@pytest.fixture(params=FILES)
def golden(request: pytest.FixtureRequest, shared: Path) -> Golden:
    still = ["predictor.network.dropout=0", "predictor.network.input_dropout=0"]
    return load(shared / "parity" / request.param, "flash_vtg", rename_flash_vtg, *still)


def predictor(golden: Golden) -> FlashVTG:
    assert isinstance(golden.network.predictor, FlashVTG)
    return golden.network.predictor


def run(golden: Golden) -> Output:
    return predictor(golden)(golden.streams())


def terms(golden: Golden, output: Output) -> dict[str, Tensor]:
    pairs = golden["input/saliency_positive"], golden["input/saliency_negative"]
    other = torch.ones(len(golden.mask), dtype=torch.bool)
    return predictor(golden).terms(output, windows(golden), golden["input/saliency"], golden.mask, pairs, other)


def windows(golden: Golden) -> Tensor:
    """In clips."""
    seconds = golden["input/duration"].double() / golden["input/video_length"]
    return golden["input/windows"].double() / seconds[:, None, None]


def test_every_step(golden: Golden) -> None:
    network, streams, mask = predictor(golden), golden.streams(), golden.mask
    steps: dict[str, Tensor] = {}

    def keep(name: str):
        return lambda module, arguments, result: steps.__setitem__(name, result[: len(mask)])

    for kind, layers in (("text_to_video", network.correlation.text_to_video), ("encoder", network.encoder)):
        for index, layer in enumerate(layers):
            layer.feed_forward_norm.register_forward_hook(keep(f"{kind}_{index}"))
    output = network(streams)
    prepared = network.correlation.prepared(streams)
    count = network.settings.dummies
    assert_close(prepared.video[mask], golden["output/video_embedded"][mask], **CLOSE)
    words = prepared.query[:, count:][golden.query_mask]
    assert_close(words, golden["output/query_embedded"][golden.query_mask], **CLOSE)
    assert_close(prepared.query[:, :count], golden["output/dummy_tokens"], **CLOSE)
    for name, result in steps.items():
        assert_close(result[mask], golden[f"output/{name}"][mask], **CLOSE)
    assert_close(steps["encoder_2"].relu()[mask], golden["output/memory"][mask], **CLOSE)
    levels = torch.cat(network.pyramid(steps["encoder_2"].relu()), dim=1)
    cells = output.points.mask
    assert torch.equal(cells, golden["output/point_mask"])
    assert_close(levels[cells], golden["output/level"][cells], **CLOSE)
    found = output.engagement
    for name, ours in (
        ("attention_sum", found.engaged),
        ("attention_sum_neg", found.engaged_negative),
        ("saliency_scores", found.saliency),
        ("saliency_scores_neg", found.negative),
    ):
        assert ours is not None
        assert_close(ours[mask], golden[f"output/{name}"][mask], **CLOSE)


def test_points_and_what_they_say(golden: Golden) -> None:
    output, cells = run(golden), golden["output/point_mask"]
    ours = torch.stack((output.points.time, output.points.low, output.points.high, output.points.stride), dim=1)
    assert_close(ours, golden["output/points"], atol=0.0, rtol=0.0)
    assert_close(output.scores[cells], golden["output/scores"][cells], **CLOSE)
    assert_close(output.distances[cells], golden["output/distances"][cells], **CLOSE)
    for mix, theirs in ((1.0, "class_scores"), (0.0, "context_scores")):
        predictor(golden).mix.data.fill_(mix)
        assert_close(run(golden).scores[cells], golden[f"output/{theirs}"][cells], **CLOSE)


def test_what_is_taught(golden: Golden) -> None:
    answers, distances = run(golden).points.answers(windows(golden))
    assert torch.equal(answers, golden["output/target_class"] > 0)
    assert_close(distances[answers], golden["output/target_distances"][answers], atol=1e-6, rtol=0.0)


def test_every_loss(golden: Golden) -> None:
    ours = terms(golden, run(golden))
    for name, (theirs, weight) in WEIGHTS.items():
        assert_close(
            ours[name], weight * golden[f"output/loss_{theirs}"], atol=0.0, rtol=1e-5, msg=lambda t, n=name: n + t
        )
    assert_close(sum(ours.values()), golden["output/loss_total"], atol=0.0, rtol=1e-5)


def test_gradient_norms(golden: Golden) -> None:
    sum(terms(golden, run(golden)).values()).backward()
    names = [name.removeprefix("grad_norm/") for name in golden.numbers if name.startswith("grad_norm/")]
    assert len(names) > 100
    for name in names:
        published = golden[f"grad_norm/{name}"]
        said = lambda text, name=name: f"{name}: {text}"  # noqa: E731
        assert_close(golden.gradient(name), published, atol=1e-5, rtol=1e-3, msg=said)


def test_decoded_moments(golden: Golden) -> None:
    output = run(golden)
    for change, theirs in (
        ({"whole_clips": False}, "decoded"),
        ({"whole_clips": True, "most_overlap": 0.7}, "decoded_nms"),
    ):
        predictor(golden).settings = replace(predictor(golden).settings, **change)
        published = golden[f"output/{theirs}"]
        ranked = predictor(golden).decode(output, golden.inputs, top=50)
        there = published[..., 2] > 0  # what was suppressed scores 0; ours leaves it out
        assert torch.equal(ranked.counts, there.sum(dim=1))
        ours = torch.cat((ranked.windows, ranked.scores[..., None]), dim=-1)
        for row, count in enumerate(ranked.counts.tolist()):
            assert_close(ours[row, :count], published[row][there[row]], atol=1e-3, rtol=0.0)


def test_a_sample_is_the_same_alone_and_in_any_batch(golden: Golden) -> None:
    golden.network.eval()
    together = run(golden)
    for index, (clips, words) in enumerate(zip(golden.mask.sum(1), golden.query_mask.sum(1), strict=True)):
        alone = predictor(golden)(golden.streams(slice(index, index + 1), int(clips), int(words)))
        cells = together.points.mask[index]
        assert_close(alone.scores[0], together.scores[index][cells], atol=1e-5, rtol=1e-5)
        assert_close(alone.distances[0], together.distances[index][cells], atol=1e-5, rtol=1e-5)
