"""The parts of the paper's network on numbers that can be followed by hand."""

from __future__ import annotations

import math
from functools import cache
from typing import Literal

import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from src.data.batch import collate
from src.data.similarity import cosines, pooled, query_cosines, sentence_vectors, standardised
from src.errors import UserError
from src.models.attention import attend
from src.models.match import CosineMatch, NarrativeEmbedding
from src.models.mergers import Add, ConcatMLP, CrossAttention, NarrativeOnly, VideoOnly
from src.models.paragraph import ParagraphQuery
from src.models.position import clip_code, sine_code
from src.models.proposals.decode import best_spans
from src.models.span import losses
from src.models.span.base import Boundaries, Embedding, SpanOutput
from src.models.span.fusion import Bilinear, Trilinear
from src.models.span.guided import content_guides
from src.models.span.predictor import SpanPredictor, SpanSettings
from src.models.span.proposals import cells, proposal_features, propose
from tests.compose import compose
from tests.models.samples import sample

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
    # Of three numbers, as the normalisation leaves of two nothing but which is larger.
    video, narrative = (
        torch.tensor([[[1.0, 2.0, 4.0], [3.0, 0.0, 5.0]]]),
        torch.tensor([[[1.0, 3.0, 2.0], [5.0, 7.0, 0.0]]]),
    )
    merger = CrossAttention(3, heads=1, dropout=0.0)
    layer = merger.attention
    with torch.no_grad():
        for linear in (layer.attention.query, layer.attention.key):
            linear.weight.zero_()
            linear.bias.zero_()
        layer.attention.value.weight.copy_(torch.eye(3))
        layer.attention.value.bias.zero_()
        layer.feed_forward[-1].weight.zero_()
        layer.feed_forward[-1].bias.zero_()
    # Attention that cannot tell narratives apart gives their mean; the first where the second is padding.
    for mask, mean in ((MASK, (3.0, 5.0, 1.0)), (torch.tensor([[True, False]]), (1.0, 3.0, 2.0))):
        total = video + torch.tensor(mean)
        expected = (total - total.mean(dim=-1, keepdim=True)) / total.std(dim=-1, correction=0, keepdim=True)
        query = torch.zeros(1, 1, 3), torch.ones(1, 1, dtype=torch.bool)
        torch.testing.assert_close(merger(video, narrative, mask, *query), expected, atol=1e-5, rtol=0)


def test_a_match_is_the_cosine_with_the_mean_word_standardised() -> None:
    narrative = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True, True, False]])
    # The words' mean is (1, 0), as the third is padding: cosines 1, 0, 1, of mean 2/3 and variance 2/9.
    query = torch.tensor([[[3.0, 1.0], [-1.0, -1.0], [0.0, 50.0]]])
    sentence = sentence_vectors(query, torch.tensor([[True, True, False]]))
    match = standardised(cosines(narrative, sentence[:, None])[:, 0], mask)
    root = math.sqrt(2)
    torch.testing.assert_close(match, torch.tensor([[1 / root, -root, 1 / root, 0.0]]))


def test_rewordings_stand_beside_their_query() -> None:
    inputs = collate([sample(0, 2, 1), sample(1, 2, 1)]).inputs
    # Cosines with (3, 4): 1 and 24/25; with (1, 0) 3/5 and 4/5. The second query has no rewording.
    inputs.narrative = torch.tensor([[[6.0, 8.0], [4.0, 3.0]]]).expand(2, -1, -1)
    inputs.query, inputs.query_mask = torch.tensor([[[3.0, 4.0]]]).expand(2, -1, -1), torch.ones(2, 1, dtype=torch.bool)
    alone, present = query_cosines(inputs)
    torch.testing.assert_close(alone, torch.tensor([[[1.0, 24 / 25]]]).expand(2, -1, -1))
    assert present.tolist() == [[True], [True]]
    inputs.rewordings = torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]])
    inputs.reworded = torch.tensor([[True], [False]])
    found, present = query_cosines(inputs)
    torch.testing.assert_close(found[0], torch.tensor([[1.0, 24 / 25], [3 / 5, 4 / 5]]))
    torch.testing.assert_close(found[1, 0], torch.tensor([1.0, 24 / 25]))
    assert present.tolist() == [[True, True], [True, False]]
    # Named as in a config, which is no word of the code's.
    best, mean = (pooled(found, present, "".join(letters)) for letters in ("best", "mean"))
    torch.testing.assert_close(best, torch.tensor([[1.0, 24 / 25], [1.0, 24 / 25]]))
    torch.testing.assert_close(mean, torch.tensor([[4 / 5, 22 / 25], [1.0, 24 / 25]]))


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


@cache
def emb() -> DictConfig:
    """The network's settings of conf/predictor/emb.yaml."""
    return compose("+predictor=emb").predictor.network


def predictor(**changes: object) -> SpanPredictor:
    settings = emb()
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


def test_attention_weighs_values_by_the_scaled_product_in_each_head() -> None:
    query = torch.tensor([[[math.sqrt(2) * math.log(3), 0.0, 0.0, math.sqrt(2) * math.log(3)]]])
    key = torch.tensor([[[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [9.0, 9.0, 9.0, 9.0]]])
    value = torch.tensor([[[4.0, 0.0, 4.0, 0.0], [0.0, 8.0, 0.0, 8.0], [99.0, 99.0, 99.0, 99.0]]])
    mask = torch.tensor([[True, True, False]])
    # In heads of two, ln 3 against 0: the first takes 3/4 of the first value, the second of the second.
    expected = torch.tensor([[[3.0, 2.0, 1.0, 6.0]]])
    torch.testing.assert_close(attend(query, key, value, mask, heads=2), expected)
    # The way that is taken where weights are dropped, of which this rate drops none.
    torch.testing.assert_close(attend(query, key, value, mask, heads=2, dropout=1e-9), expected)
    torch.testing.assert_close(attend(query, key[:, :2], value[:, :2], None, heads=2, dropout=1e-9), expected)


def test_positions_have_a_sine_and_a_cosine_of_each_frequency() -> None:
    code = sine_code(3, 4)
    expected = [[math.sin(p), math.cos(p), math.sin(p / 100), math.cos(p / 100)] for p in (0, 1, 2)]
    torch.testing.assert_close(code, torch.tensor(expected))
    assert sine_code(3, 3).shape == (3, 3)
    # The last clip of each video lies at 2π.
    places = clip_code(torch.tensor([[True, True], [True, False]]), 2)
    torch.testing.assert_close(places[0], torch.tensor([[0.0, -1.0], [0.0, 1.0]]), atol=1e-5, rtol=0)
    torch.testing.assert_close(places[1, 0], torch.tensor([0.0, 1.0]), atol=1e-5, rtol=0)


def test_guides_are_the_largest_before_and_after() -> None:
    video = torch.tensor([[[1.0, -5.0], [3.0, -6.0], [2.0, -4.0], [9.0, 9.0]]])
    left, right = content_guides(video, torch.tensor([[True, True, True, False]]))
    assert left.tolist() == [[[0, 0], [1, -5], [3, -5], [0, 0]]]
    assert right.tolist() == [[[3, -4], [2, -4], [0, 0], [0, 0]]]


def test_proposals_are_pairs_of_cells_of_eight_snippets() -> None:
    mask = torch.arange(17)[None] < torch.tensor([[17], [9]])
    found = propose(mask)
    assert found.cells == 3
    assert list(zip(found.first.tolist(), found.last.tolist(), strict=True)) == [
        *((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    ]
    assert found.span[0].tolist() == [[0, 7], [0, 15], [0, 16], [8, 15], [8, 16], [16, 16]]
    assert found.mask[1].tolist() == [True, True, False, True, False, False]
    assert found.span[1].tolist() == [[0, 7], [0, 8], [0, 0], [8, 8], [0, 0], [0, 0]]
    snippets = -torch.arange(1.0, 18.0)[None, :, None].expand(2, -1, -1)
    pooled = cells(snippets, mask)
    assert pooled.flatten(1).tolist() == [[-1, -9, -17], [-1, -9, 0]]
    features = proposal_features(torch.tensor([[[1.0], [3.0], [2.0]]]).expand(2, -1, -1), found)
    assert features.squeeze(-1).tolist() == [[1, 3, 3, 3, 3, 2], [1, 3, 0, 3, 0, 0]]


def test_a_span_is_taught_by_three_terms_of_which_the_highlight_is_weighted() -> None:
    start, end = [0.5, 0.5], [0.25, 0.75]
    said = output(start, end, 0.0)
    data = collate([sample(0, 2, 3)])
    data.truth.target = torch.tensor([[0, 0]])
    terms = predictor(highlight_weight=7.0, highlight_extend=0.0).losses(said, data.inputs, data.truth, 0.0)
    # Without proposals the target, half open from 0 to 1, is its own candidate: starts 0, ends 0 and 1.
    assert float(terms["localisation"]) == pytest.approx(math.log(2))
    # Both snippets are highlighted and count twice.
    assert float(terms["highlight"]) == pytest.approx(7 * 2 * math.log(2))
    assert terms.keys() == {"localisation", "highlight"}


def test_moments_are_decoded_in_seconds_of_their_own_video() -> None:
    data = collate([sample(0, 2, 3)]).inputs
    data.duration = torch.tensor([5.0])
    ranked = predictor(most_overlap=1.0).decode(output([0.6, 0.4], [0.3, 0.7], 0.0), data, top=4)
    assert ranked.windows.tolist() == [[[0, 5], [2.5, 5], [0, 2.5], [0, 0]]]
    torch.testing.assert_close(ranked.scores[0, :3].exp(), torch.tensor([0.42, 0.28, 0.18]))
    assert ranked.counts.tolist() == [3]


def test_a_branch_with_no_weight_is_not_heard() -> None:
    video, paragraph = output([0.5, 0.5], [0.2, 0.8], 1.0), output([1.0, 0.0], [0.6, 0.4], 2.0)
    silent = predictor().fuse(video, paragraph, alpha=0.0)
    torch.testing.assert_close(silent.boundaries.start.exp(), torch.tensor([[0.5, 0.5]]))
    torch.testing.assert_close(silent.boundaries.end.exp(), torch.tensor([[0.2, 0.8]]))
    ParagraphQuery(predictor(), None, text_dim=4, alpha=0.0)
    with pytest.raises(UserError, match="a weight is 0 or more"):
        ParagraphQuery(predictor(), None, text_dim=4, alpha=-0.1)


def test_how_narratives_match_is_added_to_them() -> None:
    match = CosineMatch(10)
    nn.init.ones_(match.embed.weight)
    nn.init.zeros_(match.embed.bias)
    embedding = Embedding(10, 10, 0.0)
    identity(embedding.linear)
    inputs = collate([sample(0, 3, 4)]).inputs
    assert inputs.narrative is not None
    # Of three narratives one is the query, to which the two others are orthogonal or opposed: cosines 1, 0 and −1.
    inputs.query = torch.zeros(1, 4, 10)
    inputs.query[..., 0] = 5.0
    inputs.narrative = torch.zeros(1, 3, 10)
    inputs.narrative[0, 0, 0], inputs.narrative[0, 1, 1], inputs.narrative[0, 2, 0] = 2.0, 1.0, -3.0
    found = NarrativeEmbedding(embedding, match)(inputs)
    root = math.sqrt(3 / 2)
    torch.testing.assert_close(found[0, :, 0], torch.tensor([2 + root, 0.0, -3 - root]))
    torch.testing.assert_close(found[0, :, 9], torch.tensor([root, 0.0, -root]))
    assert torch.equal(NarrativeEmbedding(embedding, None)(inputs), inputs.narrative)
