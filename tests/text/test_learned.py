"""Words without a table."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from src.text.learned import Learned


def test_a_word_always_has_the_same_vector_and_another_word_one_far_from_it(caplog: pytest.LogCaptureFixture) -> None:
    encoder = Learned(dim=256)
    with caplog.at_level(logging.WARNING):
        first, second = encoder.words(["The man jumps.", "a man leaps ."])
    assert "expect a split of novel words" in caplog.text
    assert first.features.shape == (4, 256)
    assert not first.unknown.any()
    assert np.array_equal(first.features[1], second.features[1])
    assert abs(float(first.features[2] @ second.features[2])) < 0.3
    assert np.linalg.norm(first.features, axis=1) == pytest.approx(np.ones(4), abs=1e-5)


def test_a_sentence_is_nearer_to_one_that_shares_its_words() -> None:
    jumping, leaping, room = Learned(dim=256).sentences(["a man jumps", "the man jumps", "there is nobody"])
    assert jumping @ leaping > 0.4 > 0.3 > abs(jumping @ room)
    assert np.linalg.norm(jumping) == pytest.approx(1, abs=0.25)
