"""The network over segments: what rewordings change, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import torch

from src.build import Parts
from src.data.batch import Batch, Sample, collate
from src.models.method import Method
from src.models.network import Network
from src.moments import iou
from tests.compose import compose
from tests.models.samples import sample

SMALL = ["features=none", "merger=narrative_only", "paragraph=none", "predictor=segments", "text.dim=10", "folder=."]


def network(*changes: str) -> Network:
    torch.manual_seed(0)
    return Parts(compose(*SMALL, *changes, config="train")).network


def told(query: torch.Tensor, moment: tuple[int, int], length: int = 16) -> torch.Tensor:
    """Narratives that say what the query does within a moment, and other things elsewhere."""
    narrative = torch.randn(length, 10)
    narrative[moment[0] : moment[1] + 1] += 3 * query.mean(dim=0)
    return narrative


def batch(seeds: range, rewordings: int = 0) -> Batch:
    torch.manual_seed(seeds.start)
    samples = []
    for seed in seeds:
        one = sample(seed, 16, 4)
        seen: Sample = one.sample
        seen = seen._replace(
            video=None,
            narrative=told(seen.query, one.target),
            unknown=torch.zeros(4, dtype=torch.bool),
            rewordings=seen.query.mean(dim=0) + torch.randn(rewordings, 10) if rewordings else None,
        )
        samples.append(one._replace(sample=seen))
    return collate(samples)


def test_a_query_without_rewordings_is_its_own_beside_others_that_have_some() -> None:
    alone, reworded = batch(range(2)), batch(range(2, 4), rewordings=3)
    assert reworded.inputs.reworded is not None
    net = network().eval()
    mixed = replace(
        reworded.inputs,
        **{
            name: torch.cat((getattr(alone.inputs, name), getattr(reworded.inputs, name)))
            for name in ("narrative", "snippet_mask", "query", "query_mask", "unknown", "duration")
        },
        sentences=alone.inputs.sentences + reworded.inputs.sentences,
        rewordings=torch.cat((torch.full((2, 3, 10), 1e3), reworded.inputs.rewordings)),
        reworded=torch.cat((torch.zeros(2, 3, dtype=torch.bool), reworded.inputs.reworded)),
    )
    ranked = net.rank(mixed, 3)
    torch.testing.assert_close(ranked.scores[:2], net.rank(alone.inputs, 3).scores, atol=1e-5, rtol=0)
    torch.testing.assert_close(ranked.scores[2:], net.rank(reworded.inputs, 3).scores, atol=1e-5, rtol=0)


def test_rewordings_are_heard_and_in_training_sometimes_not() -> None:
    with_them = batch(range(4), rewordings=3)
    without = replace(with_them.inputs, rewordings=None, reworded=None)
    net = network("predictor.network.dropout=0")
    silent, heard = (
        network(f"predictor.network.query_alone={share}", "predictor.network.dropout=0") for share in (1, 0)
    )
    assert not torch.equal(net.eval().rank(with_them.inputs, 3).scores, net.rank(without, 3).scores)
    torch.testing.assert_close(silent.train()(with_them.inputs).scores, silent(without).scores)
    torch.testing.assert_close(heard.train()(with_them.inputs).scores, heard.eval()(with_them.inputs).scores)


def test_it_learns_where_narratives_agree_with_the_query() -> None:
    net, train, test = network(), batch(range(48)), batch(range(48, 80))
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        torch.stack(list(Method().losses(net.train(), train).values())).sum().backward()
        optimizer.step()
    found = net.eval().rank(test.inputs, 1).windows[:, 0].double()
    assert float(iou(found, test.truth.windows[:, 0]).mean()) > 0.6


def test_a_snippet_is_as_salient_as_its_segments_are_probable() -> None:
    net, some = network().eval(), batch(range(3))
    output = net(some.inputs)
    saliency = net.predictor.decode(output, some.inputs, 1).saliency
    assert saliency is not None
    over = (output.segments.first <= 5) & (output.segments.last >= 5)
    torch.testing.assert_close(saliency[:, 5], output.scores[:, over].exp().sum(dim=1), atol=1e-5, rtol=0)
