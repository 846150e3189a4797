"""Sentences by the letters of their words."""

from __future__ import annotations

from src.data.letters import spell


def test_words_are_spelt_and_padded_to_the_longest_of_all() -> None:
    spelt = spell(["a Cab.", "be"], alphabet="abc")
    assert spelt.tolist() == [[[2, 0, 0], [4, 2, 3], [1, 0, 0]], [[3, 1, 0], [0, 0, 0], [0, 0, 0]]]
