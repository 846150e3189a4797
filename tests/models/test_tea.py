"""The network composed of its parts."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch.optim import AdamW
from torch.optim.lr_scheduler import LinearLR

from src.data.batch import collate
from src.data.similarity import standardised_cosine
from src.errors import UserError
from src.metrics.recall import MeanIoU
from src.metrics.split import SplitMetrics
from src.models.match import CosineMatch
from src.models.mergers import Add, ConcatMLP, Merger
from src.models.method import Method
from src.models.network import Network
from src.models.paragraph import ParagraphQuery
from src.models.predictor import Streams
from src.models.span.base import SpanOutput
from src.models.span.predictor import SpanPredictor, SpanSettings
from src.models.tea import TEA, parameter_groups
from src.moments import iou
from tests.models.samples import sample

VIDEO, TEXT, HIDDEN = 12, 10, 16


def predictor(supervise: str = "fused") -> SpanPredictor:
    settings = SpanSettings(
        hidden=HIDDEN,
        heads=4,
        dropout=0.2,
        similarity="bilinear",
        ranking_layers=1,
        highlight_weight=5.0,
        highlight_extend=0.1,
        highlight_end="paper",
        ranking_iou=(0.3, 0.7),
        most_overlap=0.5,
        supervise=supervise,  # type: ignore[arg-type]
        paragraph_highlight=True,
    )
    return settings.build()


def network(merger: Merger, paragraph: bool = True, supervise: str = "fused") -> Network:
    span = predictor(supervise)
    branch = None
    if paragraph:
        branch = ParagraphQuery(span, CosineMatch(HIDDEN), TEXT, 0.5)
    return Network(span, merger, branch, CosineMatch(HIDDEN), VIDEO if merger.uses_video else None, TEXT)


def test_fused_scores_are_the_weighted_sum_of_both_branches() -> None:
    torch.manual_seed(0)
    net = network(ConcatMLP(HIDDEN, 0.2)).eval()
    batch = collate([sample(1, 20, 5), sample(2, 9, 3)]).inputs
    fused: SpanOutput = net(batch)
    branch, net.paragraph = net.paragraph, None
    assert branch is not None
    video: SpanOutput = net(batch)
    words = torch.where(batch.unknown[..., None], net.unknown_word, batch.query)
    inputs = replace(batch, query=words)
    narrative, query = branch.embed_narrative(inputs), branch.embed_query(words, batch.query_mask, inputs)
    paragraph: SpanOutput = branch.network(
        Streams(narrative, batch.snippet_mask, query, batch.query_mask, inputs, progress=1.0)
    )
    expected = video.boundaries.start.exp() + 0.5 * paragraph.boundaries.start.exp()
    torch.testing.assert_close(fused.boundaries.start.exp() * 1.5, expected)
    torch.testing.assert_close(fused.boundaries.start.exp().sum(dim=1), torch.ones(2))


def test_eq_15_supervises_what_it_is_told_to() -> None:
    torch.manual_seed(0)
    batch = collate([sample(1, 20, 5), sample(2, 9, 3)])
    counts = {}
    for supervise in ("fused", "video", "both"):
        net = network(Add(HIDDEN), supervise=supervise)
        output: SpanOutput = net(batch.inputs)
        counts[supervise] = len(output.supervised)
        terms = net.predictor.losses(output, batch.inputs, batch.truth, 0.0)
        gradient = torch.autograd.grad(
            terms["localisation"], net.paragraph.embed_narrative.embedding.linear.weight, allow_unused=True
        )[0]  # type: ignore[union-attr]
        assert (gradient is None) == (supervise == "video")
    assert counts == {"fused": 1, "video": 1, "both": 2}


def test_decoded_moments_lie_in_the_video_and_do_not_crowd() -> None:
    torch.manual_seed(0)
    net = network(ConcatMLP(HIDDEN, 0.2)).eval()
    batch = collate([sample(1, 40, 5), sample(2, 2, 3)]).inputs
    ranked = net.rank(batch, top=5)
    assert ranked.windows.shape == (2, 5, 2)
    first = ranked.windows[0]
    assert (first[:, 0] < first[:, 1]).all()
    assert (first >= 0).all()
    assert (first <= batch.duration[0]).all()
    assert (ranked.scores[0].diff() <= 0).all()
    # Two snippets have three spans, of which the wide one overlaps the others by half: at most three are left.
    assert ranked.counts[1] <= 3
    assert ranked.present.sum(dim=1).tolist() == ranked.counts.tolist()
    assert (ranked.scores[1, ranked.counts[1] :] == -math.inf).all()
    assert (ranked.windows[1, ranked.counts[1] :] == 0).all()


def test_vectors_are_not_decayed() -> None:
    net = network(ConcatMLP(HIDDEN, 0.2))
    matrices, vectors = parameter_groups(net)
    assert vectors["weight_decay"] == 0
    assert all(parameter.ndim == 1 for parameter in vectors["params"])
    assert sum(len(group["params"]) for group in (matrices, vectors)) == len(list(net.parameters()))
    assert math.prod(net.unknown_word.shape) == TEXT


def test_the_match_is_standardised_over_the_valid_snippets() -> None:
    batch = collate([sample(1, 20, 5), sample(2, 9, 3)]).inputs
    assert batch.narrative is not None
    match = standardised_cosine(batch)
    for row, length in zip(match, (20, 9), strict=True):
        torch.testing.assert_close(row[:length].mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
        torch.testing.assert_close(row[:length].var(correction=0), torch.tensor(1.0))
        assert (row[length:] == 0).all()


def test_a_video_told_in_one_sentence_matches_equally_everywhere() -> None:
    batch = collate([sample(1, 6, 2)]).inputs
    assert batch.narrative is not None
    told = replace(batch, narrative=batch.narrative[:, :1].expand(1, 6, 10))
    assert (standardised_cosine(told).abs() < 1e-2).all()


def module(net: Network) -> TEA:
    def rows() -> dict[str, MeanIoU]:
        return {"overlap": MeanIoU()}

    tests = {name: SplitMetrics(name, [name], rows) for name in ("iid", "ood")}
    schedule = partial(LinearLR, start_factor=1.0, end_factor=0.0)
    return TEA(net, Method(), AdamW, schedule, SplitMetrics("val", ["val"], rows), tests, 2, {"seed": 0})


def test_a_batch_is_taught_the_sum_of_its_terms() -> None:
    torch.manual_seed(0)
    net = network(Add(HIDDEN)).eval()  # without dropout, so that a batch says the same twice
    tea, batch = module(net), collate([sample(1, 20, 5), sample(2, 9, 3)])
    terms = net.predictor.losses(net(batch.inputs), batch.inputs, batch.truth, 0.0)
    torch.testing.assert_close(tea.training_step(batch, 0), terms["localisation"] + terms["highlight"])
    assert net.progress == 0


def test_a_loss_that_is_not_finite_names_its_terms_and_queries() -> None:
    net = network(Add(HIDDEN))
    tea, batch = module(net), collate([sample(1, 4, 5), sample(2, 4, 3)])
    torch.nn.init.constant_(net.embed_query.linear.weight, torch.nan)
    with pytest.raises(UserError, match=r"not finite in epoch 0 \(.*localisation nan.*\); queries: q1, q2"):
        tea.training_step(batch, 0)


def test_a_test_batch_counts_in_its_split_alone() -> None:
    torch.manual_seed(0)
    tea, batch = module(network(Add(HIDDEN)).eval()), collate([sample(1, 20, 5), sample(2, 9, 3)])
    ranked = tea.test_step(batch, 0, dataloader_idx=1)["ranked"]
    assert ranked.windows.shape == (2, 2, 2)
    tea.validation_step(batch, 0)
    first, second = tea.tests
    assert isinstance(first, SplitMetrics)
    assert isinstance(second, SplitMetrics)
    expected = 100 * iou(ranked.windows[:, 0].double(), batch.truth.windows[:, 0]).mean()
    assert first.compute() == {}
    torch.testing.assert_close(second.compute()["ood/mIoU"], expected)
    torch.testing.assert_close(tea.validation.compute()["val/mIoU"], expected)
    # What was reported is forgotten.
    tea.on_test_epoch_end()
    tea.on_validation_epoch_end()
    assert second.compute() == tea.validation.compute() == {}


def test_a_checkpoint_says_what_made_it_and_how_far_it_is() -> None:
    tea = module(network(Add(HIDDEN)))
    tea.network.progress = 0.25
    checkpoint: dict[str, Any] = {}
    tea.on_save_checkpoint(checkpoint)
    assert checkpoint == {"configuration": {"seed": 0}, "progress": 0.25, "steps": 1}
    other = module(network(Add(HIDDEN)))
    other.on_load_checkpoint(checkpoint)
    assert other.network.progress == 0.25


def test_a_word_without_a_vector_has_the_learned_one() -> None:
    torch.manual_seed(0)
    net = network(Add(HIDDEN), paragraph=False).eval()
    batch = collate([sample(1, 6, 5)]).inputs
    unknown = torch.tensor([[True, False, True, False, False]])
    filled = torch.where(unknown[..., None], net.unknown_word, batch.query)
    expected: SpanOutput = net(replace(batch, query=filled, unknown=torch.zeros_like(unknown)))
    found: SpanOutput = net(replace(batch, unknown=unknown))
    torch.testing.assert_close(found.boundaries.start, expected.boundaries.start)
    other: SpanOutput = net(replace(batch, unknown=~unknown))
    assert (other.boundaries.start - expected.boundaries.start).abs().max() > 1e-4
