"""The published numbers of FlashVTG through this project's own modules."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from src.data.batch import GroundTruth
from src.data.records import Moment
from src.models.detr.labels import saliency_labels
from src.models.points import flash_vtg
from src.models.points.flash_vtg import Output, alike, focal
from tests.models.golden import watched
from tests.models.points.golden import PointGolden, rows

LOSSES = {"reg": ("distance", 1.0), "cls": ("score", 5.0), "sal": ("contrast", 0.1)}
LOSSES |= {"saliency": ("saliency", 0.8), "label": ("label", 4.0)}


@pytest.fixture(params=["flash_vtg", "flash_vtg_released"])
def golden(request: pytest.FixtureRequest, shared: Path) -> PointGolden:
    return PointGolden(shared / "parity" / f"{request.param}.npz")


def windows(golden: PointGolden) -> Tensor:
    """In clips."""
    return golden["input/windows"].double() / golden.clip_seconds[:, None, None]


def test_every_step(golden: PointGolden) -> None:
    network, mask, count = golden.predictor, golden.mask, golden.predictor.settings.dummies
    stacks = {"text_to_video": network.correlation.text_to_video, "encoder": network.encoder}
    steps = {
        f"{kind}_{index}": each.feed_forward_norm for kind, stack in stacks.items() for index, each in enumerate(stack)
    }
    with watched(**steps) as seen:
        output: Output = golden()
    prepared = network.correlation.prepared(golden.streams(golden.inputs))
    # In training each video stands with its own words first.
    found: dict[str, Tensor | tuple[Tensor, Tensor]] = {name: (seen[name][0][: len(mask)], mask) for name in steps}
    memory = seen[f"encoder_{len(network.encoder) - 1}"][0][: len(mask)].relu()
    said, cells = output.engagement, output.points.mask
    assert said.negative is not None
    assert said.engaged_negative is not None
    assert torch.equal(cells, golden["output/point_mask"])
    golden.assert_outputs(
        {
            **found,
            "video_embedded": (prepared.video, mask),
            "query_embedded": (prepared.query[:, count:], golden.query_mask),
            "dummy_tokens": prepared.query[:, :count],
            "memory": (memory, mask),
            "level": (torch.cat(network.pyramid(memory), dim=1), cells),
            "attention_sum": (said.engaged, mask),
            "attention_sum_neg": (said.engaged_negative, mask),
            "saliency_scores": (said.saliency, mask),
            "saliency_scores_neg": (said.negative, mask),
            "scores": (output.scores, cells),
            "distances": (output.distances, cells),
        }
    )
    for mix, name in ((1.0, "class_scores"), (0.0, "context_scores")):
        network.mix.data.fill_(mix)
        golden.assert_outputs({name: (golden().scores, cells)})


def test_what_is_taught(golden: PointGolden) -> None:
    points = golden().points
    assert torch.equal(torch.stack((points.time, points.low, points.high, points.stride), 1), golden["output/points"])
    answers, distances = points.answers(windows(golden))
    assert torch.equal(answers, golden["output/target_class"] > 0)
    assert_close(distances[answers], golden["output/target_distances"][answers], atol=1e-6, rtol=0.0)


def test_every_loss_and_gradient(golden: PointGolden) -> None:
    pairs = golden["input/saliency_positive"], golden["input/saliency_negative"]
    other = torch.ones(len(golden.mask), dtype=torch.bool)
    ours = golden.predictor.terms(golden(), windows(golden), golden["input/saliency"], golden.mask, pairs, other)
    total = torch.stack(list(ours.values())).sum()
    golden.assert_losses({name: ours[own] / weight for name, (own, weight) in LOSSES.items()} | {"total": total})
    total.backward()
    golden.assert_gradients(floor=1e-5)


def test_decoded_moments(golden: PointGolden) -> None:
    output, network = golden(), golden.predictor
    for whole, most_overlap, name in ((False, None, "decoded"), (True, 0.7, "decoded_nms")):
        network.settings = replace(network.settings, whole_clips=whole, most_overlap=most_overlap)
        ranked = network.decode(output, golden.inputs, top=50)
        for row, published in enumerate(golden[f"output/{name}"]):
            kept = published[published[:, 2] > 0]  # what is suppressed scores 0 as released, and is left out here
            assert int(ranked.counts[row]) == len(kept)
            ours = rows(ranked.windows[row, : len(kept)], ranked.scores[row, : len(kept)])
            assert_close(ours, rows(kept[:, :2], kept[:, 2]), atol=1e-3, rtol=0.0)


def test_a_sample_is_the_same_alone_and_in_any_batch(golden: PointGolden) -> None:
    golden.network.eval()
    together = golden()
    for row in range(len(golden.mask)):
        alone, cells = golden(golden.alone(row)), together.points.mask[row]
        assert_close(alone.scores[0], together.scores[row][cells], atol=1e-5, rtol=1e-5)
        assert_close(alone.distances[0], together.distances[row][cells], atol=1e-5, rtol=1e-5)


def test_it_is_taught_with_windows_in_clips(golden: PointGolden, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whatever the pairs and the neighbours, which are drawn and told elsewhere.
    none = torch.zeros(len(golden.mask), dtype=torch.bool)
    monkeypatch.setattr(flash_vtg, "draw_pairs", lambda labels, mask: pairs)
    monkeypatch.setattr(flash_vtg, "next_is_other", lambda videos: none)
    pairs = (torch.zeros(len(none), 1).long(), torch.zeros(len(none), 1).long())
    moments = [
        Moment(str(row), "a_0_9", "a", tuple((s, e) for s, e in each if s == s), float(duration))
        for row, (each, duration) in enumerate(
            zip(golden["input/windows"].double().tolist(), golden.inputs.duration, strict=True)
        )
    ]
    truth = GroundTruth.of(moments)
    taught = golden.predictor.losses(golden(), golden.inputs, truth, 0.0)
    labels = saliency_labels(golden.inputs, truth)
    terms = golden.predictor.terms(golden(), windows(golden), labels, golden.mask, pairs, none)
    assert {name: term.item() for name, term in taught.items()} == pytest.approx(
        {name: term.item() for name, term in terms.items()}
    )


def test_a_paragraph_counts_by_its_weight(golden: PointGolden) -> None:
    video = replace(golden(), scores=torch.zeros_like(golden().scores))
    assert video.engagement.negative is not None
    engagement = replace(
        video.engagement, saliency=video.engagement.saliency + 3, negative=video.engagement.negative - 6
    )
    # A probability of 0.8 beside one of 0.5.
    paragraph = replace(
        video,
        scores=torch.full_like(video.scores, math.log(4)),
        distances=video.distances + 3,
        agreement=video.agreement - 3,
        engagement=engagement,
    )
    fused = golden.predictor.fuse(video, paragraph, alpha=0.5)
    # A third of the way from the video to the paragraph.
    assert_close(fused.scores.sigmoid(), torch.full_like(fused.scores, 0.6))
    assert_close(fused.distances, video.distances + 1)
    assert_close(fused.agreement, video.agreement - 1)
    assert_close(fused.engagement.saliency, video.engagement.saliency + 1)
    assert_close(fused.engagement.negative, video.engagement.negative - 2)


def test_losses_by_hand() -> None:
    # Probabilities of a half, and of a fourth where it is no moment: (1/2)² ln 2 and (1/4)² ln 4/3.
    found = focal(torch.tensor([0.0, 0.0, -math.log(3)]), torch.tensor([True, False, False]))
    assert_close(found, torch.tensor([math.log(2) / 4, math.log(2) / 4, math.log(4 / 3) / 16]))
    # Stretched they are 0, 1, 1/2 and 0, 1, 1.
    assert float(alike(torch.tensor([2.0, 4.0, 3.0]), torch.tensor([0.0, 4.0, 4.0]))) == pytest.approx(1 / 12)
    assert float(alike(torch.tensor([2.0, 4.0]), torch.tensor([3.0, 3.0]))) == 0
