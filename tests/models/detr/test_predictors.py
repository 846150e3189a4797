"""The DETR predictors behind the predictor contract: training on any ground truth, and ranked moments."""

from __future__ import annotations

import pytest
import torch

from src.data.batch import Batch
from src.errors import UserError
from tests.models.detr.golden import build
from tests.models.detr.small import DIM, Network, batch, network, sample


def train_step(model: Network, data: Batch) -> dict[str, torch.Tensor]:
    terms = model.predictor.losses(model(data.inputs), data.inputs, data.truth, progress=0.0)
    sum(terms.values()).backward()
    assert all(term.isfinite() for term in terms.values()), terms
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    return terms


UNUSUAL = {
    "a window of no length": [sample("a", ((4.0, 4.0),)), sample("b", ((3.0, 9.0),))],
    "two windows of no length": [sample("a", ((0.0, 0.0), (30.0, 30.0))), sample("b", ((3.0, 9.0),))],
    "a video of one clip": [sample("a", ((0.0, 2.0),), duration=2.0, clips=1), sample("b", ((3.0, 9.0),))],
    "nothing but a video of one clip": [sample("a", ((0.0, 2.0),), duration=2.0, clips=1, words=1)],
    "all clips relevant": [sample("a", ((0.0, 30.0),)), sample("b", ((0.0, 30.0),))],
    "all clips relevant and scored alike": [
        sample("a", ((0.0, 30.0),), saliency=((2.0, 2.0, 2.0),) * 15, relevant_clips=tuple(range(15)))
    ],
    "scores of zero": [
        sample("a", ((0.0, 4.0),), saliency=((0.0, 0.0, 0.0),) * 2, relevant_clips=(0, 1)),
        sample("b", ((3.0, 9.0),)),
    ],
    "as many windows as moment queries": [sample("a", tuple((i * 5.0, i * 5.0 + 2) for i in range(4)))],
    "a batch of one": [sample("a", ((3.0, 9.0),))],
    "several windows and scores": [
        sample(
            "a",
            ((2.0, 6.0), (20.0, 24.0)),
            saliency=((1, 1, 2), (4, 4, 4), (2, 0, 1), (0, 0, 1)),
            relevant_clips=(1, 2, 10, 11),
        ),
        sample("b", ((3.0, 9.0),), clips=7, words=2),
    ],
}


@pytest.mark.parametrize("samples", UNUSUAL.values(), ids=UNUSUAL.keys())
def test_trains_on_any_ground_truth_without_a_nan(kind: str, samples: list) -> None:
    train_step(network(kind), batch(*samples))


def test_more_windows_than_moment_queries_are_refused(kind: str) -> None:
    model = network(kind)
    data = batch(sample("a", ((1.0, 2.0),)), sample("crowded", tuple((i * 2.0, i * 2.0 + 1) for i in range(5))))
    with pytest.raises(UserError, match="query crowded has 5 windows, more than the predictor's 4 moment queries"):
        model.predictor.losses(model(data.inputs), data.inputs, data.truth, progress=0.0)


def test_more_windows_than_the_most_are_drawn_at_random(kind: str) -> None:
    model = network(kind, max_windows=2)
    data = batch(sample("a", ((1.0, 2.0),)), sample("crowded", tuple((i * 2.0, i * 2.0 + 1) for i in range(5))))
    train_step(model, data)
    drawn = [model.predictor._targets(data.truth, queries=4) for _ in range(40)]
    assert all(targets.shape == (2, 2, 2) and targets[0].isnan().all(dim=1).sum() == 1 for targets in drawn)
    assert len({tuple(targets[1, :, 0].sort().values.tolist()) for targets in drawn}) > 5


def test_the_same_seed_gives_the_same_losses(kind: str) -> None:
    data = batch(*UNUSUAL["several windows and scores"])
    model = network(kind)
    losses = []
    for _ in range(2):
        torch.manual_seed(3)
        losses.append(model.predictor.losses(model(data.inputs), data.inputs, data.truth, progress=0.0))
    assert losses[0] == losses[1]


def test_negative_pairs_are_of_training_only() -> None:
    model = network("qd_detr")
    data = batch(*UNUSUAL["several windows and scores"])
    assert model(data.inputs).negative.shape == (2, 15)
    assert model.eval()(data.inputs).negative is None


def test_features_are_used_by_direction_and_clips_by_place() -> None:
    embed = build("qd_detr", hidden=32).embedding(DIM, "video").eval()
    features, mask = torch.randn(1, 6, DIM), torch.ones(1, 6, dtype=torch.bool)
    torch.testing.assert_close(embed(7 * features, mask, None), embed(features, mask, None), atol=1e-4, rtol=0.0)
    same = features[:, :1].expand(1, 6, DIM)
    assert (embed(same, mask, None)[0, 0] - embed(same, mask, None)[0, 5]).abs().max() > 1e-3
