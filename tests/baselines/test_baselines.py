"""Baselines, on moments whose answer is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from src.baselines.baseline import Question
from src.baselines.prior import Prior
from src.baselines.similarity import Similarity, best_runs
from src.baselines.whole_video import WholeVideo
from src.data.records import Moment
from src.errors import UserError


def question(start: float, end: float, duration: float = 30.0, cosines: list[float] | None = None) -> Question:
    moment = Moment(f"{start}-{end}-{duration}", "video", "a person sits", ((start, end),), duration)
    return Question(moment, torch.tensor([cosines]) if cosines is not None else None)


def test_the_whole_video_is_the_whole_video() -> None:
    (answer,) = WholeVideo().predict([question(3, 5)], top=5)
    assert answer.windows == ((0.0, 30.0, 1.0),)


def test_the_prior_answers_where_training_moments_lie() -> None:
    random = np.random.default_rng(0)
    train = [question(start, start + random.uniform(5, 7)) for start in random.uniform(18, 22, 200)]
    prior = Prior(seed=0)
    prior.fit(train)
    answers = prior.predict([question(0, 1, duration=100.0)] * 200, top=5)
    windows = np.array([[window[:2] for window in answer.windows] for answer in answers])
    assert windows.shape == (200, 5, 2)
    assert ((windows[..., 0] >= 0) & (windows[..., 0] < windows[..., 1]) & (windows[..., 1] <= 100)).all()
    # Training moments start at 60 to 73 % of their video and last a fifth of it.
    assert abs(windows[..., 0].mean() - 66.7) < 2
    assert abs((windows[..., 1] - windows[..., 0]).mean() - 20) < 2


def test_the_prior_is_the_same_for_the_same_seed() -> None:
    train = [question(start, end) for start, end in ((1, 5), (2, 9), (10, 29), (4, 8))]
    first, again, other = (Prior(seed) for seed in (0, 0, 1))
    for prior in (first, again, other):
        prior.fit(train)
    assert first.predict(train, 3) == again.predict(train, 3)
    assert first.predict(train, 3) != other.predict(train, 3)


def test_a_prior_of_one_moment_is_refused() -> None:
    with pytest.raises(UserError, match="no density can be fitted to 1 training moments"):
        Prior(seed=0).fit([question(1, 2)])


@given(st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=12))
def test_the_best_run_has_the_highest_sum(gains: list[float]) -> None:
    spans = itertools.combinations(range(len(gains) + 1), 2)
    (first, last, total), *others = best_runs(gains, top=4)
    assert total == max(sum(gains[start:end]) for start, end in spans) == sum(gains[first : last + 1])
    covered = [snippet for first, last, _ in [(first, last, total), *others] for snippet in range(first, last + 1)]
    assert len(covered) == len(set(covered))
    assert [run[2] for run in others] == sorted((run[2] for run in others), reverse=True)
    assert all(run[2] > 0 for run in others)


def test_the_constant_is_the_best_on_training_moments() -> None:
    # The moment covers snippets 2 to 4, of which the lower constant also takes snippet 5.
    cosines = [-1.0, -1.0, 1.5, 1.0, 1.2, 0.3, -1.0, -1.0, -1.0, -1.0]
    train = [question(6, 15, cosines=cosines)]
    similarity = Similarity([0.0, 0.5], "mean")
    similarity.fit(train)
    assert similarity.constant == 0.5
    (answer,) = similarity.predict(train, top=3)
    assert answer.windows[0][:2] == (6.0, 15.0)
