"""CG-DETR's published numbers through this project's own modules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from src.models.detr.anchor_detr import ranking_against
from src.models.detr.cg_detr import CGPrediction, contrast, log
from src.models.detr.losses import margin_loss, negative_loss, ranking_loss
from tests.models.detr.golden import Golden, load


@pytest.mark.parametrize("name", ["cg_detr", "cg_detr_released", "cg_detr_same_video"])
def test_the_published_numbers(name: str, shared: Path) -> None:
    place = shared / "parity" / f"{name}.npz"
    golden = load(place, top_prompts=int(np.load(place)["input/num_prompts"]))
    output = golden.run()
    terms = golden.predictor.terms(output, golden.inputs, golden.target)
    counted = 2 * golden.counted_pairs
    golden.check(outputs(golden, output), losses(golden, output, terms), sum(terms.values()) + counted)


def outputs(golden: Golden, output: CGPrediction) -> dict[str, Tensor]:
    count, samples = golden.predictor.settings.dummies, golden.samples
    encoded = [golden.first(f"encoder.{layer}") for layer in range(3)]
    (sentence, words), (dummy, dummies) = parts(golden, "sentence_encoder.0")
    (moment, inside), (rest, outside) = parts(golden, "moment_encoder.0")
    last = "text_to_video.1.feed_forward_norm"
    before = golden.given["text_to_video.0.attention_norm"][1][0]
    similarity = inside @ torch.cat((dummies, words), dim=1).mT
    other = golden["input/real_negative"]
    return {
        **golden.of_decoder(output),
        "video_embedded": output.video,
        "query_embedded": output.tokens[:, count:],
        "position": output.position,
        "dummy_tokens": output.tokens[:, :count],
        "text_to_video_0": golden.first("text_to_video.0.feed_forward_norm"),
        "text_to_video_1": golden.first(last),
        "attention": output.attention,
        "attention_sum": output.engaged,
        "saliency_token_in": (before - golden.predictor.text_to_video[0].attention.output.bias)[:samples],
        "saliency_token_out": golden.first(last, call=1),
        **{f"encoder_{layer}": x[:, 1:] for layer, x in enumerate(encoded)},
        **{f"encoder_{layer}_global": x[:, 0] for layer, x in enumerate(encoded)},
        "memory": encoded[-1][:, 1:] + encoded[-1][:, :1],
        "saliency_scores": output.saliency,
        "saliency_scores_neg": output.negative[other],
        "attention_sum_neg": output.engaged_negative[other],
        "sentence": sentence,
        "sentence_words": words,
        "sentence_dummy": dummy,
        "sentence_dummies": dummies,
        "moment_token": moment,
        "nonmoment_token": rest,
        "moment_frames": inside,
        "nonmoment_frames": outside,
        "similarity": torch.where(output.token_mask[:, None], similarity, 0.0),
    }


def parts(golden: Golden, encoder: str) -> list[tuple[Tensor, Tensor]]:
    """The token and the rest, of each call."""
    return [(x[:, 0], x[:, 1:]) for x in golden.seen[encoder]]


def losses(golden: Golden, output: CGPrediction, terms: dict[str, Tensor]) -> dict[str, Tensor]:
    target, counted = golden.target, golden.counted_pairs
    labels, mask, other = target.labels, target.mask, golden["input/real_negative"]
    pairs = target.positive, target.negative, 0.2
    relevant = (labels > 0).float()
    found = {
        **golden.of_set(terms),
        "ms_align": terms["align"],
        "distill": terms["distill"],
        "orthogonal_dummy": terms["orthogonal"],
        "ms_align_sentence": contrast(
            *(golden.seen["moment_encoder.0"][call][:, 0] for call in (0, 1)),
            golden.seen["sentence_encoder.0"][0][:, 0],
            torch.arange(golden.samples),
        ),
        "saliency": terms["saliency"] + 2 * counted,
        "saliency_margin": margin_loss(output.saliency, *pairs) + counted,
        "attention_margin": margin_loss(output.engaged, *pairs) + counted,
        "attention_bce": F.binary_cross_entropy(output.engaged[mask], relevant[mask]),
        "saliency_negative": negative_loss(output.negative[other], mask[other]),
        "attention_negative": -torch.where(mask, log(1 - output.engaged_negative), 0.0)[other].sum(dim=1).mean(),
        "saliency_rank": ranking_against(output.saliency[other], output.negative[other], labels[other], mask[other]),
        "attention_rank": ranking_against(
            output.engaged[other], output.engaged_negative[other], labels[other], mask[other]
        ),
    }
    if not other.all():
        found["saliency_same_video"] = ranking_loss(output.saliency[~other], labels[~other], mask[~other])
    return found
