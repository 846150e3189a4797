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


NARROW = [0.3, 0.3, 1.0, 1.0, 1.0, 0.3, 0.3, 0.3, -1.0, -1.0]
"""Cosines, of which the middle three stand out and the last two lie below the mean."""


def test_the_constant_is_judged_by_the_window_that_is_matched_best() -> None:
    # Lowered by 0.5 the run is 6 to 15 s, which is one of the windows; by 0 it is 0 to 24 s, which overlaps all three
    # more on average.
    moment = Moment("q", "video", "a person sits", ((6.0, 15.0), (0.0, 27.0), (0.0, 30.0)), 30.0)
    similarity = Similarity([0.0, 0.5], "mean")
    similarity.fit([Question(moment, torch.tensor([NARROW]))])
    assert similarity.constant == 0.5


def test_the_constant_is_judged_on_all_questions() -> None:
    # The higher constant finds the moments of two questions and eight tenths of the third's, which the lower finds.
    narrow, wide = question(6, 15, cosines=NARROW), question(0, 10, 20.0, [*([1.0] * 4), 0.3, *([-1.0] * 5)])
    for questions, constant in (([narrow, narrow, wide], 0.5), ([wide], 0.0)):
        similarity = Similarity([0.0, 0.5], "mean")
        similarity.fit(questions)
        assert similarity.constant == constant
    first, second = similarity.predict([wide, narrow], top=3)
    # Lowered by 0, in seconds of each video, with the sum as the score: of −0.07 in the mean and a variance of 0.9041.
    (start, end, score), *others = first.windows
    assert (start, end, others) == (0.0, 10.0, [])
    assert score == pytest.approx((4 * 1.07 + 0.37) / 0.9041**0.5, rel=1e-5)
    assert second.windows[0][:2] == (0.0, 24.0)
    assert second.query_id == narrow.moment.query_id


def test_runs_are_found_by_hand() -> None:
    assert best_runs([-3.0, -1.0, -2.0], top=3) == [(1, 1, -1.0)]
    assert best_runs([1.0, -2.0, 1.0], top=3) == [(0, 0, 1.0), (2, 2, 1.0)]
    assert best_runs([2.0, -1.0, 2.0], top=3) == [(0, 2, 3.0)]
    assert best_runs([-1.0, 3.0, -4.0, 2.0], top=3) == [(1, 1, 3.0), (3, 3, 2.0)]
    # Of equal runs the first; after a sum of nothing a run begins anew.
    assert best_runs([1.0, -1.0, 1.0], top=1) == [(0, 0, 1.0)]
    assert best_runs([1.0, -1.0, 2.0], top=1) == [(2, 2, 2.0)]
    assert best_runs([3.0, -4.0, 2.0, -3.0, 1.0], top=2) == [(0, 0, 3.0), (2, 2, 2.0)]


def test_draws_are_shares_of_each_video_and_best_first() -> None:
    prior = Prior(seed=0)
    prior.fit([question(3, 6), question(6, 15), question(10, 29), question(20, 25)])
    short, long = prior.predict([question(0, 1, duration=1.0), question(0, 1, duration=1000.0)], top=4)
    assert [window[2] for window in short.windows] == [0, -1, -2, -3]
    assert all(0 <= start < end <= 1 for start, end, _ in short.windows)
    assert max(end for _, end, _ in long.windows) > 100
    # They are the draws of one seed, dealt out in turn.
    (both,) = prior.predict([question(0, 1, duration=1.0)], top=8)
    shares = [(start / 1000, end / 1000) for start, end, _ in long.windows]
    assert [window[:2] for window in both.windows[:4]] == [window[:2] for window in short.windows]
    assert np.array([window[:2] for window in both.windows[4:]]) == pytest.approx(np.array(shares))


def test_every_window_of_a_query_is_fitted() -> None:
    def fitted(*windows: tuple[float, float]) -> tuple[int, int]:
        prior = Prior(seed=0)
        prior.fit([Question(Moment("q", "v", "a", windows, 10.0)), question(1, 2), question(3, 9)])
        assert prior.density is not None
        dataset = prior.density.dataset
        assert dataset[:, 0].tolist() == [windows[0][0] / 10, windows[0][1] / 10]
        return dataset.shape

    assert fitted((0.0, 5.0)) == (2, 3)
    assert fitted((0.0, 5.0), (2.0, 8.0)) == (2, 4)
