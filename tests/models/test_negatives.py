"""Which videos a query is asked of beside its own, and what it brings along."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from src.build import Parts
from src.data.batch import Batch, collate
from src.errors import UserError
from src.models.negatives import NegativeVideo, asked_of, other_videos
from tests.compose import compose
from tests.models.samples import sample

SMALL = ["features.dim=12", "text.dim=10", "predictor.network.hidden=16", "folder=."]


def batch(*videos: str) -> Batch:
    samples = [sample(number, 5 + number, 3) for number in range(len(videos))]
    return collate(
        [each._replace(moment=replace(each.moment, video=video)) for each, video in zip(samples, videos, strict=True)]
    )


def test_another_video_is_never_the_querys_own() -> None:
    torch.manual_seed(0)
    drawn = set()
    for _ in range(30):
        queries, videos = other_videos(batch("a", "a", "b").truth)
        assert queries.tolist() == [0, 1, 2]
        drawn |= set(zip(queries.tolist(), videos.tolist(), strict=True))
    assert drawn == {(0, 2), (1, 2), (2, 0), (2, 1)}


def test_a_batch_of_one_video_has_no_other() -> None:
    queries, videos = other_videos(batch("a", "a").truth)
    assert len(queries) == len(videos) == 0
    parts = Parts(compose("predictor=dcm", "merger=none", "paragraph=none", *SMALL, config="train"))
    assert "negative" not in NegativeVideo(1.0).losses(parts.network, batch("a", "a"))


def test_a_video_brings_its_narratives_and_a_query_its_words() -> None:
    inputs = batch("a", "b", "c").inputs
    asked = asked_of(inputs, torch.tensor([0, 2]), torch.tensor([1, 0]))
    assert asked.video is not None
    assert asked.narrative is not None
    torch.testing.assert_close(asked.query, inputs.query[[0, 2]])
    torch.testing.assert_close(asked.video, inputs.video[[1, 0]])  # type: ignore[index]
    torch.testing.assert_close(asked.narrative, inputs.narrative[[1, 0]])  # type: ignore[index]
    assert asked.length.tolist() == [6, 5]
    assert torch.equal(asked.duration, inputs.duration[[1, 0]])


def test_both_branches_say_that_there_is_no_moment() -> None:
    parts = Parts(compose("predictor=dcm", "merger=add", "paragraph=query", *SMALL, config="train"))
    terms = NegativeVideo(2.0).losses(parts.network, batch("a", "b", "c"))
    assert terms.keys() == {"matching", "location", "independence", "size", "negative"}
    terms["negative"].backward()
    gradients = {name: weight.grad for name, weight in parts.network.named_parameters()}
    taught = gradients["paragraph.network.weight.weight"]
    assert taught is not None
    assert taught.abs().sum() > 0


def test_a_network_without_scores_of_segments_is_refused() -> None:
    network = Parts(compose("predictor=emb", *SMALL, config="train")).network
    with pytest.raises(UserError, match="choose predictor=dcm"):
        NegativeVideo(1.0).require(network)
