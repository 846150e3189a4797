"""The published numbers of UniVTG through this project's own modules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from src.models.points.published import rename_univtg
from src.models.points.univtg import Output, Target, UniVTG
from tests.models.points.golden import Golden, load

FILES = ["univtg.npz", "univtg_released.npz"]
WEIGHTS = {"span": ("b", 10.0), "giou": ("g", 1.0), "foreground": ("f", 10.0), "within": ("s_intra", 0.05)}
WEIGHTS |= {"between": ("s_inter", 0.01)}
CLOSE = {"atol": 1e-4, "rtol": 0.0}


@pytest.fixture(params=FILES)
def golden(request: pytest.FixtureRequest, shared: Path) -> Golden:
    file = shared / "parity" / request.param
    still = ["predictor.network.depth_dropout=0", "predictor.network.input_dropout=0"]
    return load(file, "univtg", rename_univtg, *still)


def predictor(golden: Golden) -> UniVTG:
    assert isinstance(golden.network.predictor, UniVTG)
    return golden.network.predictor


def target(golden: Golden) -> Target:
    """Ours, with the clip that was drawn."""
    ours = predictor(golden).target(golden.inputs, golden.truth)
    return replace(ours, positive=golden["input/positive_clip"])


def run(golden: Golden) -> Output:
    return predictor(golden)(golden.streams())


def terms(golden: Golden, output: Output) -> dict[str, Tensor]:
    return predictor(golden).terms(output, target(golden), predictor(golden).times(golden.inputs))


def test_every_step(golden: Golden) -> None:
    network, streams, mask, words = predictor(golden), golden.streams(), golden.mask, golden.query_mask
    steps: dict[str, Tensor] = {}

    def keep(name: str):
        return lambda module, arguments, result: steps.__setitem__(name, result)

    for index, layer in enumerate(network.encoder):
        layer.register_forward_hook(keep(f"encoder_{index}"))
    for ours, theirs in (("foreground", "class"), ("reach", "span")):
        for index, convolution in enumerate(list(getattr(network, ours))[:-1]):
            convolution.register_forward_hook(keep(f"{theirs}_hidden_{index}"))
    output = network(streams)

    assert_close(output.clips[mask], golden["output/video_embedded"][mask], **CLOSE)
    assert_close((streams.query + network.stream_types[0])[words], golden["output/query_embedded"][words], **CLOSE)
    assert_close(output.sentence, golden["output/sentence"], **CLOSE)
    clips = mask.shape[1]
    for name, result in steps.items():
        ours = result[:, :clips] if name.startswith("encoder") else result.relu()
        assert_close(ours[mask], golden[f"output/{name}"][mask], **CLOSE)
        if name.startswith("encoder"):
            assert_close(result[:, clips:][words], golden[f"output/{name.replace('_', '_words_')}"][words], **CLOSE)
    assert len(steps) == len(network.encoder) + 4
    assert_close(output.foreground[mask], golden["output/class_logits"][mask], **CLOSE)
    assert_close(output.reach[mask], golden["output/offsets"].abs()[mask], **CLOSE)
    assert_close(output.saliency[mask], golden["output/saliency_scores"][mask], **CLOSE)


def test_what_is_taught(golden: Golden) -> None:
    ours, mask = predictor(golden).target(golden.inputs, golden.truth), golden.mask
    inside = golden["input/foreground"].bool()
    assert torch.equal(ours.foreground & mask, inside & mask)
    assert_close(ours.bounds[inside], golden["input/target_bounds"][inside], atol=1e-6, rtol=0.0)
    times = predictor(golden).times(golden.inputs)
    assert_close(times[mask], golden["input/timestamp"][mask], atol=1e-6, rtol=0.0)
    assert (ours.labels.gather(1, ours.positive[:, None]) > 0).all()


def test_every_loss(golden: Golden) -> None:
    ours = terms(golden, run(golden))
    for name, (theirs, weight) in WEIGHTS.items():
        assert_close(ours[name], weight * golden[f"output/loss_{theirs}"], atol=0.0, rtol=1e-5)
    assert_close(sum(ours.values()), golden["output/loss_total"], atol=0.0, rtol=1e-5)


def test_gradient_norms(golden: Golden) -> None:
    sum(terms(golden, run(golden)).values()).backward()
    names = [name.removeprefix("grad_norm/") for name in golden.numbers if name.startswith("grad_norm/")]
    assert len(names) > 60
    for name in names:
        published = golden[f"grad_norm/{name}"]
        assert_close(
            golden.gradient(name), published, atol=1e-6, rtol=1e-3, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_decoded_moments(golden: Golden) -> None:
    output = run(golden)
    for setting, theirs in ((0.7, "decoded_nms"), (1.0, "decoded")):
        predictor(golden).settings = replace(predictor(golden).settings, most_overlap=setting)
        published = golden[f"output/{theirs}"]
        ranked = predictor(golden).decode(output, golden.inputs, top=published.shape[1])
        there = ~published[..., 0].isnan()
        assert torch.equal(ranked.present, there)
        ours = torch.cat((ranked.windows, ranked.scores[..., None]), dim=-1)
        assert_close(ours[there], published[there], atol=2e-3, rtol=0.0)
    assert ranked.saliency is not None
    assert_close(ranked.saliency[golden.mask], golden["output/highlight"][golden.mask], **CLOSE)


def test_a_sample_is_the_same_alone_and_in_any_batch(golden: Golden) -> None:
    together = run(golden)
    for index, (clips, words) in enumerate(zip(golden.mask.sum(1), golden.query_mask.sum(1), strict=True)):
        alone = predictor(golden)(golden.streams(slice(index, index + 1), int(clips), int(words)))
        for ours, theirs in zip(alone[:3], together[:3], strict=True):
            assert_close(ours[0], theirs[index, : int(clips)], atol=1e-5, rtol=1e-5)
