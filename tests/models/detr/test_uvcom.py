"""UVCOM's published numbers through this project's own modules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch.nn.functional as F
from torch import Tensor

from src.models.detr.anchor_detr import ranking_against
from src.models.detr.layers import mean_of
from src.models.detr.losses import margin_loss, negative_loss
from src.models.detr.uvcom import UVCOMPrediction, centres, clips_loss, videos_loss, walk
from src.models.position import clip_code
from src.models.predictor import Streams
from tests.models.detr.golden import Golden, load


@pytest.mark.parametrize(("name", "progress"), [("uvcom", 0.0), ("uvcom_released", 0.4)])
def test_the_published_numbers(name: str, progress: float, shared: Path) -> None:
    place = shared / "parity" / f"{name}.npz"
    golden = load(place, rounds=int(np.load(place)["input/em_iterations"]))
    streams = replace(golden.streams(), progress=progress)
    output = golden.run_on(streams)
    terms = golden.predictor.terms(output, golden.inputs, golden.target)
    target = golden.target
    parts = {
        "saliency_margin": margin_loss(output.saliency, target.positive, target.negative, 0.2),
        "saliency_rank": ranking_against(output.saliency, output.negative, target.labels, target.mask),
        "saliency_negative": negative_loss(output.negative, target.mask),
    }
    losses = {
        **golden.of_set(terms),
        **parts,
        "saliency": terms["saliency"],
        "sim": terms["similarity"],
        "sim_video": videos_loss(output.of_videos),
        "sim_clip": clips_loss(output.of_clips, target),
    }
    golden.check(outputs(golden, streams, output), losses, sum(terms.values()))


def outputs(golden: Golden, streams: Streams, output: UVCOMPrediction) -> dict[str, Tensor]:
    predictor, mask, first = golden.predictor, golden.video_mask, golden.first
    _, anchors = golden.seen["decoder"][0]
    encoded = [first(f"encoder.{layer}") for layer in range(3)]
    clips, words = first("text_to_video.2"), first("video_to_text.2")
    rounds = predictor.settings.rounds
    of_words = centres(predictor.word_centres, words, streams.query_mask, rounds)
    local = clips + predictor._near(clips, mask)
    given = golden.given["encoder.0"][0][0]
    slots = golden.given["decoder"][0][4] - predictor.contents.queries
    return {
        **golden.of_decoder(output),
        **{f"anchors_{layer}": anchors[layer + 1] for layer in range(3)},
        **{f"text_to_video_{layer}": first(f"text_to_video.{layer}") for layer in range(3)},
        **{f"video_to_text_{layer}": first(f"video_to_text.{layer}") for layer in range(3)},
        **{f"encoder_{layer}": x[:, 1:] for layer, x in enumerate(encoded)},
        **{f"encoder_{layer}_global": x[:, 0] for layer, x in enumerate(encoded)},
        "video_embedded": streams.video,
        "query_embedded": streams.query,
        "position": clip_code(mask, predictor.hidden),
        "sentence": mean_of(first("sentence"), streams.query_mask),
        "query_centroids": of_words,
        "video_centroids": centres(predictor.clip_centres, clips, mask, rounds),
        "local": local,
        "refined": walk(local, of_words, mask),
        "fused": given[:, 1:],
        "global_in": given[:, 0],
        "slots": slots,
        "saliency_scores": output.saliency,
        "saliency_scores_neg": output.negative,
        "video_side": F.normalize(predictor.video_side(encoded[-1][:, 0]), dim=-1),
        "query_side": F.normalize(first("query_side"), dim=-1),
        "video_similarity": output.of_videos,
        "clip_similarity": output.of_clips,
    }
