"""VTG-GPT's scoring, on scores whose proposals are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from src.baselines.baseline import Question
from src.baselines.vtg_gpt import Proposal, VtgGpt, propose, suppress
from src.data.records import Moment


def question(*cosines: list[float], duration: float = 20.0) -> Question:
    return Question(Moment("q", "v", "a person sits", ((0.0, 1.0),), duration), torch.tensor(cosines))


def test_runs_above_the_threshold_are_proposed() -> None:
    scores = np.array([0.0, 0.9, 1.0, 0.1, 0.8, 0.2, 0.1, 0.2, 0.1, 0.85])
    # Four reach 0.8, of which one is not above it; 9 follows 2 by 7.
    first, second = propose(scores, least=4, gap=6)
    assert first == Proposal(1, 2, pytest.approx((2 / 3 + 0.95) / 2))
    assert second == Proposal(9, 9, pytest.approx((1 / 3 + 0.85) / 2))
    (whole,) = propose(scores, least=4, gap=7)
    assert whole[:2] == (1, 9)


def test_the_threshold_is_a_tenth() -> None:
    # Two reach 0.5, the edge of the tenth in which the second lies; 0.45 is below it.
    assert propose(np.array([1.0, 0.55, 0.45, 0.0]), least=2, gap=1)[0][:2] == (0, 1)


def test_fewer_snippets_than_must_reach_it_are_all_above() -> None:
    assert [proposal[:2] for proposal in propose(np.array([0.0, 1.0, 0.5]), least=8, gap=1)] == [(1, 2)]


def test_what_matches_alike_everywhere_is_the_whole_video() -> None:
    (answer,) = VtgGpt(8, 6, 0.95).predict([question([0.3] * 10)], top=5)
    assert answer.windows == ((0.0, 20.0, 0.0),)
    assert propose(np.zeros(10), least=8, gap=6) == [Proposal(0, 9, 0.0)]


def test_the_same_proposal_of_a_rewording_is_left_out() -> None:
    near, wide, far = Proposal(2, 12, 0.9), Proposal(2, 13, 0.8), Proposal(20, 30, 0.7)
    assert suppress([far, wide, near], 0.95) == [near, wide, far]
    assert suppress([far, wide, near], 0.9) == [near, far]
    # One of a single snippet has no length by the published measure, and so overlaps nothing.
    assert suppress([Proposal(4, 4, 0.9), Proposal(4, 4, 0.8)], 0.95) == [Proposal(4, 4, 0.9), Proposal(4, 4, 0.8)]


def test_rewordings_are_pooled() -> None:
    query, reworded = [0.1, 0.9, 0.8, 0.1, 0.1], [0.1, 0.1, 0.1, 0.7, 0.8]
    (answer,) = VtgGpt(2, 1, 0.95).predict([question(query, reworded, duration=10.0)], top=5)
    assert {window[:2] for window in answer.windows} == {(2.0, 6.0), (6.0, 10.0)}
    assert len(answer.saliency) == 5


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=20), st.integers(1, 9), st.integers(1, 7))
def test_any_similarities_have_an_answer_inside_the_video(cosines: list[float], least: int, gap: int) -> None:
    (answer,) = VtgGpt(least, gap, 0.95).predict([question(cosines)], top=3)
    assert 1 <= len(answer.windows) <= 3
    assert all(0 <= start < end <= 20 for start, end, _ in answer.windows)
    scores = [score for *_, score in answer.windows]
    assert scores == sorted(scores, reverse=True)
