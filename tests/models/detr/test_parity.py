"""QD-DETR's and Moment-DETR's published numbers through this project's own modules."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch.testing import assert_close

from tests.models.detr.golden import Golden, load

CLOSE = {"atol": 1e-4, "rtol": 0.0}


@pytest.fixture(params=["qd_detr", "moment_detr"])
def golden(request: pytest.FixtureRequest, shared: Path) -> Golden:
    return load(shared / "parity" / f"{request.param}.npz")


def test_logits_spans_and_saliency_of_every_layer(golden: Golden) -> None:
    output = golden.run()
    mask = golden.video_mask
    assert_close(output.logits[1], golden["output/pred_logits"], **CLOSE)
    assert_close(output.spans[1], golden["output/pred_spans"], **CLOSE)
    assert_close(output.logits[0], golden["output/first_layer_pred_logits"], **CLOSE)
    assert_close(output.spans[0], golden["output/first_layer_pred_spans"], **CLOSE)
    assert_close(output.saliency[mask], golden["output/saliency_scores"][mask], **CLOSE)
    if "output/saliency_scores_neg" in golden:
        assert output.negative is not None
        assert_close(output.negative[mask], golden["output/saliency_scores_neg"][mask], **CLOSE)


def test_answers_after_training_are_the_published_ones(golden: Golden) -> None:
    golden.predictor.eval()
    output = golden.run()
    assert_close(output.logits[-1], golden["output/pred_logits"], **CLOSE)
    assert_close(output.spans[-1], golden["output/pred_spans"], **CLOSE)
    assert_close(output.saliency[golden.video_mask], golden["output/saliency_scores"][golden.video_mask], **CLOSE)


def test_every_loss_of_both_layers(golden: Golden) -> None:
    terms = golden.predictor.terms(golden.run(), golden.inputs, golden.target)
    weights = {"span": 10.0, "giou": 1.0, "label": 4.0, "saliency": 1.0}
    golden.assert_losses({name: value / weights[name.removesuffix("_0")] for name, value in terms.items()})
    golden.assert_losses({"total": sum(terms.values())})


def test_gradient_norms(golden: Golden) -> None:
    golden.assert_gradients(sum(golden.predictor.terms(golden.run(), golden.inputs, golden.target).values()))


def test_a_sample_is_the_same_alone_and_in_any_batch(golden: Golden) -> None:
    golden.predictor.eval()
    together = golden.run()
    for index in range(4):
        clips, words = int(golden["input/video_length"][index]), int(golden["input/query_length"][index])
        alone = golden.run(slice(index, index + 1), clips, words)
        assert_close(alone.spans[:, 0], together.spans[:, index], atol=1e-5, rtol=0.0)
        assert_close(alone.logits[:, 0], together.logits[:, index], atol=1e-5, rtol=0.0)
        assert_close(alone.saliency[0], together.saliency[index, :clips], atol=1e-5, rtol=1e-5)
