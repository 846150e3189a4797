"""The parts of the paper's network on numbers that can be followed by hand."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from src.data.similarity import cosines, sentence_vectors, standardised
from src.models.mergers import Add, ConcatMLP, CrossAttention, NarrativeOnly, VideoOnly
from src.models.proposals.decode import best_spans
from src.models.span import losses
from src.models.span.fusion import Bilinear, Trilinear
from src.models.span.predictor import Boundaries, SpanOutput, SpanPredictor, SpanSettings
from tests.compose import compose

VIDEO, NARRATIVE = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[[10.0, 30.0], [50.0, 70.0]]])
MASK = torch.ones(1, 2, dtype=torch.bool)
QUERY = torch.zeros(1, 1, 2), torch.ones(1, 1, dtype=torch.bool)


def test_a_sum_and_each_stream_alone() -> None:
    assert Add(2)(VIDEO, NARRATIVE, MASK, *QUERY).tolist() == [[[11, 32], [53, 74]]]
    assert torch.equal(VideoOnly(2)(VIDEO, None, MASK, *QUERY), VIDEO)
    assert torch.equal(NarrativeOnly(2)(None, NARRATIVE, MASK, *QUERY), NARRATIVE)


def test_the_mlp_of_eq_4_sees_the_video_first_and_each_snippet_by_itself() -> None:
    merger = ConcatMLP(2, dropout=0.0)
    first, last = merger.mlp[0], merger.mlp[-1]
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        # v₁ + 2 c₂ and, below zero, −v₂.
        first.weight.copy_(torch.tensor([[1.0, 0.0, 0.0, 2.0], [0.0, -1.0, 0.0, 0.0]]))
        first.bias.zero_()
        last.weight.copy_(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
        last.bias.copy_(torch.tensor([0.0, 1.0]))
    assert merger(VIDEO, NARRATIVE, MASK, *QUERY).tolist() == [[[61, 184], [143, 430]]]


def test_snippets_attend_to_narratives_and_keep_themselves() -> None:
    merger = CrossAttention(2, heads=1, dropout=0.0)
    layer = merger.attention
    with torch.no_grad():
        for linear in (layer.attention.query, layer.attention.key):
            linear.weight.zero_()
            linear.bias.zero_()
        layer.attention.value.weight.copy_(torch.eye(2))
        layer.attention.value.bias.zero_()
        layer.feed_forward[-1].weight.zero_()
        layer.feed_forward[-1].bias.zero_()
    # Attention that cannot tell narratives apart gives their mean, (30, 50); the first where the second is padding.
    for mask, mean in ((MASK, (30.0, 50.0)), (torch.tensor([[True, False]]), (10.0, 30.0))):
        expected = layer.feed_forward_norm(layer.attention_norm(VIDEO + torch.tensor(mean)))
        torch.testing.assert_close(merger(VIDEO, NARRATIVE, mask, *QUERY), expected)


def test_a_match_is_the_cosine_with_the_mean_word_standardised() -> None:
    narrative = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True, True, False]])
    # The words' mean is (1, 0), as the third is padding: cosines 1, 0, 1, of mean 2/3 and variance 2/9.
    query = torch.tensor([[[3.0, 1.0], [-1.0, -1.0], [0.0, 50.0]]])
    sentence = sentence_vectors(query, torch.tensor([[True, True, False]]))
    match = standardised(cosines(narrative, sentence[:, None])[:, 0], mask)
    root = math.sqrt(2)
    torch.testing.assert_close(match, torch.tensor([[1 / root, -root, 1 / root, 0.0]]))


def identity(linear: nn.Linear) -> None:
    nn.init.eye_(linear.weight)
    nn.init.zeros_(linear.bias)


def test_similarities_of_the_fusion() -> None:
    x, y = torch.tensor([[[2.0, 0.0, 0.0, 0.0]]]), torch.tensor([[[3.0, 1.0, 0.0, 0.0], [0.0, 5.0, 0.0, 0.0]]])
    bilinear = Bilinear(4, dropout=0.0)
    identity(bilinear.sequence)
    identity(bilinear.query)
    # 6 and 0, divided by the root of four.
    assert bilinear(x, y).tolist() == [[[3.0, 0.0]]]
    trilinear = Trilinear(4, dropout=0.0)
    with torch.no_grad():
        trilinear.sequence.weight.fill_(1.0)
        trilinear.query.weight.fill_(10.0)
        trilinear.product.fill_(100.0)
    assert trilinear(x, y).tolist() == [[[2 + 40 + 600, 2 + 50]]]


def test_the_least_overlap_of_a_candidate_falls_from_one_to_a_half() -> None:
    assert [round(losses.threshold(progress), 4) for progress in (0.0, 0.45, 0.5, 0.55, 1.0)] == [
        *(1.0, 0.8655, 0.75, 0.6345, 0.5)
    ]


def spans(*rows: tuple[int, int]) -> Tensor:
    return torch.tensor([rows])


def test_the_candidate_is_the_best_scored_that_overlaps_enough() -> None:
    target, mask = torch.tensor([[2, 5]]), torch.tensor([[True, True, True, False]])
    # IoU 4/6, 4/4, 2/6; the last is padding.
    proposals, scores = spans((0, 5), (2, 5), (4, 7), (2, 4)), torch.tensor([[0.5, 0.1, 0.9, 2.0]])
    assert losses.candidate(target, proposals, mask, scores, 0.6).tolist() == [[0, 6]]
    assert losses.candidate(target, proposals, mask, scores, 0.9).tolist() == [[2, 6]]
    assert losses.candidate(target, proposals, mask, scores, 0.3).tolist() == [[4, 8]]
    # Where none does, the target itself.
    assert losses.candidate(target, proposals[:, 2:], mask[:, 2:], scores[:, 2:], 0.9).tolist() == [[2, 6]]


def test_localisation_is_of_the_probability_between_the_two_endpoints() -> None:
    start = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).log()
    end = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()
    # Starts 1 to 2, ends 2 to 3.
    loss = losses.localisation(start, end, torch.tensor([[2, 2]]), torch.tensor([[1, 3]]))
    assert float(loss) == pytest.approx(-math.log(0.2 + 0.3) - math.log(0.2 + 0.1))


@pytest.mark.parametrize(("end", "expected"), [("paper", range(8)), ("published", range(1, 5))])
def test_highlights_reach_to_the_end_that_is_chosen(end: Literal["paper", "published"], expected: range) -> None:
    mask = torch.tensor([[True] * 9 + [False]])
    # From 1 to 6, widened by a tenth of 6, which is 1; or from 1 to 4, by a tenth of 4, which is 0.
    labels = losses.highlight_labels(torch.tensor([[2, 4]]), torch.tensor([[1, 6]]), mask, 0.1, end)
    assert labels[0].nonzero().flatten().tolist() == list(expected)


def test_a_highlighted_snippet_counts_twice_and_padding_not() -> None:
    logits, mask = torch.tensor([[0.0, 0.0, 5.0]]), torch.tensor([[True, True, False]])
    loss = losses.highlight(logits, torch.tensor([[1.0, 0.0, 0.0]]), mask)
    assert float(loss) == pytest.approx((2 * math.log(2) + math.log(2)) / 2)


def test_ranking_labels_are_the_overlap_rescaled() -> None:
    target, mask = torch.tensor([[0, 4]]), torch.tensor([[True, True, True, False]])
    # IoU 1, 2/5 and 1/5: labels 1, (0.4 − 0.3) / 0.4 and 0.
    proposals = spans((0, 4), (0, 1), (0, 0), (0, 4))
    loss = losses.ranking(torch.zeros(1, 4), proposals, mask, target, 0.3, 0.7)
    assert float(loss) == pytest.approx(math.log(2))
    logits = torch.tensor([[1.0, 1.0, 1.0, 9.0]])
    softplus = math.log1p(math.e)
    expected = ((softplus - 1) + (softplus - 0.25) + softplus) / 3
    assert float(losses.ranking(logits, proposals, mask, target, 0.3, 0.7)) == pytest.approx(expected)


def test_spans_are_ranked_by_the_product_of_their_ends() -> None:
    start, end = torch.tensor([[0.5, 0.1, 0.4]]).log(), torch.tensor([[0.2, 0.3, 0.5]]).log()
    found, scores = best_spans(start, end, top=3, most_overlap=1.0)
    assert found.tolist() == [[[0, 2], [2, 2], [0, 1]]]
    torch.testing.assert_close(scores.exp(), torch.tensor([[0.25, 0.2, 0.15]]))
    # (0, 1) overlaps (0, 2) by two thirds.
    found, _ = best_spans(start, end, top=3, most_overlap=0.5)
    assert found.tolist() == [[[0, 2], [2, 2], [0, 0]]]


def predictor(**changes: object) -> SpanPredictor:
    settings = compose("+predictor=emb").predictor.network
    values = {key: value for key, value in settings.items() if key != "_target_"}
    return SpanPredictor(SpanSettings(**{**values, "hidden": 8, "heads": 1, "ranking_iou": (0.3, 0.7), **changes}))


def output(start: list[float], end: list[float], highlight: float) -> SpanOutput:
    boundaries = Boundaries(torch.tensor([start]).log(), torch.tensor([end]).log())
    mask = torch.ones(1, 2, dtype=torch.bool)
    return SpanOutput(boundaries, (boundaries,), (torch.full((1, 2), highlight),), mask, None)


def test_the_paragraph_branch_is_heard_with_weight_alpha_and_learns_its_own_highlight() -> None:
    video, paragraph = output([0.5, 0.5], [0.2, 0.8], 1.0), output([1.0, 0.0], [0.6, 0.4], 2.0)
    fused = predictor().fuse(video, paragraph, alpha=0.5)
    # (p_v + α p_c) / (1 + α)
    torch.testing.assert_close(fused.boundaries.start.exp(), torch.tensor([[2 / 3, 1 / 3]]))
    torch.testing.assert_close(fused.boundaries.end.exp(), torch.tensor([[1 / 3, 2 / 3]]))
    assert [float(logits[0, 0]) for logits in fused.highlights] == [1.0, 2.0]
    assert len(predictor(paragraph_highlight=False).fuse(video, paragraph, 0.5).highlights) == 1
    assert fused.supervised == (fused.boundaries,)
    assert predictor(supervise="video").fuse(video, paragraph, 0.5).supervised == video.supervised
    assert len(predictor(supervise="both").fuse(video, paragraph, 0.5).supervised) == 2


def test_top_1_takes_the_best_score_whatever_it_overlaps() -> None:
    target, mask = torch.tensor([[0, 1]]), torch.ones(1, 2, dtype=torch.bool)
    spans, scores = torch.tensor([[[0, 1], [6, 7]]]), torch.tensor([[0.1, 0.9]])
    least = [losses.threshold(0.9, *range_) for range_ in ((1.0, 0.5), (0.0, 0.0))]
    assert losses.candidate(target, spans, mask, scores, least[0]).tolist() == [[0, 2]]
    assert losses.candidate(target, spans, mask, scores, least[1]).tolist() == [[6, 8]]


def test_a_highlight_label_weighs_as_much_as_it_is_told() -> None:
    logits, labels, mask = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), torch.ones(1, 2, dtype=torch.bool)
    each = math.log(2)
    assert float(losses.highlight(logits, labels, mask, 2.0)) == pytest.approx(1.5 * each)
    assert float(losses.highlight(logits, labels, mask, 1.0)) == pytest.approx(each)


def test_choices_of_the_span_network_are_heard() -> None:
    alike = predictor().encoder
    assert torch.equal(alike.explore.attention.query.weight, alike.context.attention.query.weight)
    apart = predictor(begin_alike=False).encoder
    assert not torch.equal(apart.explore.attention.query.weight, apart.context.attention.query.weight)
    assert predictor(guide_kernel=3).encoder.explore.guide.depthwise.kernel_size == (3,)
    x = torch.zeros(1, 3, 8)
    assert torch.equal(predictor(position="none")._placed(x), x)
    assert not torch.equal(predictor()._placed(x), x)
