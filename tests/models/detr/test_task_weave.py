"""TaskWeave's published numbers through this project's own modules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from src.models.detr.anchor_detr import ranking_against
from src.models.detr.detr import Prediction
from src.models.detr.losses import margin_loss, negative_loss
from src.models.detr.task_weave import covered
from src.models.position import clip_code
from src.models.predictor import Streams
from tests.models.detr.golden import Golden, load


@pytest.mark.parametrize(
    ("name", "feedback"),
    [("task_weave", "highlights"), ("task_weave_released", "highlights"), ("task_weave_mr2hd", "moments")],
)
def test_the_published_numbers(name: str, feedback: str, shared: Path) -> None:
    golden = load(shared / "parity" / f"{name}.npz", feedback=feedback)
    fed = bool(golden["input/feedback"])
    streams = replace(golden.streams(), progress=float(fed))
    output = golden.run_on(streams)
    terms = golden.predictor.terms(output, golden.inputs, golden.target)
    target = golden.target
    moments = golden.predictor.set_terms(output, target.spans)
    parts = {
        "saliency_margin": margin_loss(output.saliency, target.positive, target.negative, 0.2),
        "saliency_rank": ranking_against(output.saliency, output.negative, target.labels, target.mask),
        "saliency_negative": negative_loss(output.negative, target.mask),
    }
    losses = {**moments, **parts, "saliency": sum(parts.values()), "moment": sum(moments.values())}
    named = outputs(golden, streams, output, twice=fed and feedback == "highlights")
    golden.check(named, losses, sum(terms.values()))


def outputs(golden: Golden, streams: Streams, output: Prediction, twice: bool) -> dict[str, Tensor]:
    predictor, mask = golden.predictor, golden.video_mask
    position = clip_code(mask, predictor.hidden)
    saliency = {"saliency_scores": output.saliency, "saliency_scores_neg": output.negative}
    named = {
        **golden.of_decoder(output),
        **saliency,
        "video_embedded": streams.video,
        "query_embedded": streams.query,
        "position": position,
        "moment_gate": predictor.moment_output(predictor.moment_branch).expand_as(position),
    }
    for run in range(2 if twice else 1):
        before = "first_" if twice and run == 0 else ""
        video = streams.video
        if run == 1:
            mean = torch.where(mask, output.saliency, 0.0).sum(dim=1) / mask.sum(dim=1)
            video = video * torch.where(output.saliency > mean[:, None], 2.0, 1.0)[..., None]
        pooled = predictor._read(replace(streams, video=video), position)
        of_moments, of_highlights = predictor.moment_input(pooled), predictor.highlight_input(pooled)
        found = {
            "text_to_video_0": golden.seen["text_to_video.0"][-1],
            "text_to_video_1": golden.seen["text_to_video.1"][-1],
            "pooled": pooled,
            "moment_in": of_moments,
            "highlight_in": of_highlights,
            "moment_shared": predictor._shared(of_moments, position, mask),
            "highlight_shared": predictor._shared(of_highlights, position, mask),
            "memory": predictor._moments(pooled, position, mask),
            "highlight_memory": predictor._highlights(pooled, position, mask),
        }
        named |= {f"{before}{name}": value for name, value in found.items()}
    return named


def test_moments_count_in_the_half_clips_that_they_reach() -> None:
    mask = torch.tensor([[True, True, False]])
    # By centre and width: of four half clips the first to the third, and the last.
    counts = covered(torch.tensor([[[0.25, 0.5], [1.0, 0.0]]]), mask)
    assert counts[0].tolist() == pytest.approx([0.5**0.5, 0.5**0.5, 0.0])
    counts = covered(torch.tensor([[[0.25, 0.5], [0.1, 0.2]]]), mask)
    assert counts[0].tolist() == pytest.approx([1.5 / 2.5**0.5, 0.5 / 2.5**0.5, 0.0])
