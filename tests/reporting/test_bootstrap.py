"""How sure a difference is, on values whose distribution is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from src.reporting.bootstrap import Difference, paired_bootstrap


def compared(ours: NDArray[np.floating], theirs: NDArray[np.floating], **settings: int) -> Difference:
    """One variant with one seed, whose values are (n,)."""
    found = paired_bootstrap([ours[None]], theirs[None], **settings)
    return Difference(*(values[0] for values in found))


def side_by_side(ours: NDArray[np.floating], theirs: NDArray[np.floating], **settings: int) -> Difference:
    """Variants (V, …, n) with one seed each, and a baseline (…, n)."""
    return paired_bootstrap(list(ours[:, None]), theirs[None], **settings)


def test_the_bootstrap_knows_how_sure_a_mean_is() -> None:
    random = np.random.default_rng(0)
    theirs = random.uniform(size=400)
    ours = np.clip(theirs + random.normal(0.03, 0.3, 400), 0, 1)
    differences = ours - theirs
    found = compared(ours, theirs)
    assert found.mean == pytest.approx(differences.mean())
    half = 1.96 * differences.std() / 20  # the mean of 400 is nearly normal
    assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half), abs=1.5e-3)
    assert found == compared(ours, theirs)
    assert found != compared(ours, theirs, seed=1)
    assert compared(ours, ours).p == 1
    assert compared(ours + 1, ours).p < 1e-3


def test_p_is_the_share_of_draws_on_the_other_side_twice() -> None:
    # Of two queries the mean of a draw is -1, 1, 1 or 3: a quarter is not above 0.
    found = compared(np.array([-1.0, 3.0]), np.array([0.0, 0.0]), resamples=20_000)
    assert found.p == pytest.approx(0.5, abs=0.02)
    assert (found.mean, found.low, found.high) == (1.0, -1.0, 3.0)
    # The observed sample counts as a draw.
    assert compared(np.array([1.0, 3.0]), np.zeros(2), resamples=999).p == pytest.approx(2 / 1000)
    assert compared(np.array([-0.25, -0.5]), np.zeros(2), resamples=999).p == pytest.approx(2 / 1000)
    assert compared(np.array([-1.0, 1.0]), np.zeros(2)).p == 1


def test_the_bootstrap_draws_once_for_everything_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    class Counting(np.random.Generator):
        def integers(self, *arguments: object) -> object:
            numbers = super().integers(*arguments)  # type: ignore[call-overload]
            drawn.append(numbers.size)
            return numbers

    monkeypatch.setattr(np.random, "default_rng", lambda seed: Counting(np.random.PCG64(seed)))
    baseline = np.random.RandomState(0).uniform(size=3000)
    variants = baseline + np.random.RandomState(1).normal(0.01, 0.2, (40, 3, 3000))
    for count in (10, 40):
        together = side_by_side(variants[:count], np.stack([baseline] * 3))
        assert sum(drawn) == 10_000 * 3000
        drawn.clear()
    alone = compared(variants[7, 2], baseline)
    assert [values[7, 2] for values in together] == pytest.approx(list(alone))


def test_a_difference_on_one_query_is_not_sure() -> None:
    assert compared(np.array([0.9]), np.array([0.4])).p == 1


def test_draws_are_of_queries_and_the_same_for_all_that_is_compared() -> None:
    # Differences of −1, 3 and 0, and of 1 thrice.
    ours, theirs = np.array([[1.0, 5.0, 2.0], [3.0, 3.0, 3.0]]), np.array([2.0, 2.0, 2.0])
    found = side_by_side(ours, theirs, resamples=5000)
    assert found.mean.tolist() == pytest.approx([2 / 3, 1.0])
    # −1 thrice is drawn once in 27 times, which is more than 2.5 %, and so is 3 thrice.
    assert (found.low.tolist(), found.high.tolist()) == ([-1.0, 1.0], [3.0, 1.0])
    # Without a 3 the mean is not above 0: 8 of 27.
    assert found.p.tolist() == pytest.approx([2 * 8 / 27, 2 / 5001], abs=0.03)
    assert found.p[1] == 2 / 5001


def test_the_shape_is_that_of_what_is_compared() -> None:
    random = np.random.default_rng(0)
    baseline = random.uniform(size=(2, 50))
    many = baseline + random.normal(0.05, 0.2, (30, 2, 50))
    found = side_by_side(many, baseline, resamples=200)
    assert all(values.shape == (30, 2) for values in found)
    assert found.mean == pytest.approx((many - baseline).mean(axis=-1))
    alone = compared(many[29, 1], baseline[1], resamples=200)
    assert [values[29, 1] for values in found] == pytest.approx(list(alone))
    assert all(np.shape(values) == () for values in alone)
    one = side_by_side(many[..., :1], baseline[:, :1])
    assert (one.mean.shape, one.p.tolist()) == ((30, 2), [[1.0, 1.0]] * 30)
    assert one.low.tolist() == one.mean.tolist() == one.high.tolist()


def test_seeds_are_drawn_as_queries_are() -> None:
    # With one seed every query is better by 1, with the other worse: both are drawn, or twice the one or the other.
    ours = np.stack([np.full(40, 1.0), np.full(40, -1.0)])
    found = paired_bootstrap([ours], np.zeros((2, 40)), resamples=4000)
    assert [values[0] for values in found] == pytest.approx([0.0, -1.0, 1.0, 1.0])
    # As many seeds of both are drawn together; one seed of ours stands against all of theirs.
    assert paired_bootstrap([ours + 1], ours, resamples=4000).low == pytest.approx([1.0])
    one = paired_bootstrap([np.full((1, 40), 3.0)], ours, resamples=4000)
    assert [values[0] for values in one][:3] == pytest.approx([3.0, 2.0, 4.0])
    # So do three, of which each is as good.
    three = paired_bootstrap([np.full((3, 40), 3.0)], ours, resamples=4000)
    assert [values[0] for values in three][:3] == pytest.approx([3.0, 2.0, 4.0])
