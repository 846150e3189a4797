"""The published numbers of UniVTG through this project's own modules."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from tests.models.golden import watched
from tests.models.points.golden import PointGolden, rows

LOSSES = {"b": ("span", 10.0), "g": ("giou", 1.0), "f": ("foreground", 10.0)}
LOSSES |= {"s_intra": ("within", 0.05), "s_inter": ("between", 0.01)}


@pytest.fixture(params=["univtg", "univtg_released"])
def golden(request: pytest.FixtureRequest, shared: Path) -> PointGolden:
    return PointGolden(shared / "parity" / f"{request.param}.npz")


def terms(golden: PointGolden) -> dict[str, Tensor]:
    """The losses, with the clips that were drawn."""
    inputs, network = golden.inputs, golden.predictor
    target = replace(network.target(inputs, golden.truth), positive=golden["input/positive_clip"])
    return network.terms(golden(), target, network.times(inputs))


def test_every_step(golden: PointGolden) -> None:
    network, mask, words = golden.predictor, golden.mask, golden.query_mask
    heads = {"class": network.foreground, "span": network.reach}
    layers = {f"encoder_{index}": layer for index, layer in enumerate(network.encoder)}
    hidden = {f"{name}_hidden_{index}": head[index] for name, head in heads.items() for index in (0, 1)}
    with watched(**layers, **hidden) as seen:
        output = golden()
    found: dict[str, Tensor | tuple[Tensor, Tensor]] = {name: (seen[name][0].relu(), mask) for name in hidden}
    for name in layers:
        clips, of_words = seen[name][0].split([mask.shape[1], words.shape[1]], dim=1)
        found |= {name: (clips, mask), name.replace("_", "_words_"): (of_words, words)}
    streams = golden.streams(golden.inputs)
    golden.assert_outputs(
        {
            **found,
            "video_embedded": (output.clips, mask),
            "query_embedded": (streams.query + network.stream_types[0], words),
            "sentence": output.sentence,
            "class_logits": (output.foreground, mask),
            "offsets": (output.reach * torch.tensor([-1.0, 1.0]), mask),
            "saliency_scores": (output.saliency, mask),
        }
    )


def test_what_is_taught(golden: PointGolden) -> None:
    ours, mask = golden.predictor.target(golden.inputs, golden.truth), golden.mask
    inside = golden["input/foreground"].bool() & mask
    assert torch.equal(ours.foreground, inside)
    assert_close(ours.bounds[inside], golden["input/target_bounds"][inside], atol=1e-6, rtol=0.0)
    assert_close(golden.predictor.times(golden.inputs)[mask], golden["input/timestamp"][mask], atol=1e-6, rtol=0.0)
    assert (ours.labels.gather(1, ours.positive[:, None]) > 0).all()


def test_every_loss_and_gradient(golden: PointGolden) -> None:
    ours = terms(golden)
    total = torch.stack(list(ours.values())).sum()
    golden.assert_losses({name: ours[own] / weight for name, (own, weight) in LOSSES.items()} | {"total": total})
    total.backward()
    golden.assert_gradients(floor=1e-6)


def test_decoded_moments(golden: PointGolden) -> None:
    output, network = golden(), golden.predictor
    for most_overlap, name in ((0.7, "decoded_nms"), (1.0, "decoded")):
        network.settings = replace(network.settings, most_overlap=most_overlap)
        published = golden[f"output/{name}"]
        ranked = network.decode(output, golden.inputs, top=published.shape[1])
        assert torch.equal(ranked.present, ~published[..., 0].isnan())
        for row, count in enumerate(ranked.counts.tolist()):
            ours = rows(ranked.windows[row, :count], ranked.scores[row, :count])
            assert_close(ours, rows(published[row, :count, :2], published[row, :count, 2]), atol=1e-3, rtol=0.0)
    golden.assert_outputs({"highlight": (ranked.saliency, golden.mask)})


def test_a_sample_is_the_same_alone_and_in_any_batch(golden: PointGolden) -> None:
    together = golden()
    for row, length in enumerate(golden["input/video_length"].tolist()):
        alone = golden(golden.alone(row))
        for name in ("foreground", "reach", "saliency"):
            assert_close(getattr(alone, name)[0], getattr(together, name)[row, :length], atol=1e-5, rtol=1e-5)


def test_a_paragraph_counts_by_its_weight(golden: PointGolden) -> None:
    video = golden()
    video = video._replace(foreground=torch.zeros_like(video.foreground))
    # A probability of 0.8 beside one of 0.5.
    paragraph = video._replace(
        foreground=torch.full_like(video.foreground, math.log(4)), reach=video.reach + 3, saliency=video.saliency - 6
    )
    fused = golden.predictor.fuse(video, paragraph, alpha=0.5)
    # A third of the way from the video to the paragraph.
    assert_close(fused.foreground.sigmoid(), torch.full_like(fused.foreground, 0.6))
    assert_close(fused.reach, video.reach + 1)
    assert_close(fused.saliency, video.saliency - 2)
