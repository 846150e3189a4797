"""How narratives and a query agree, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from src.data.batch import Inputs, Sample, collate_inputs
from src.data.similarity import pooled, query_cosines, sentence_vectors, standardised

EAST, NORTH, WEST = (torch.tensor(each) for each in ([1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]))


def inputs(*rewordings: torch.Tensor) -> Inputs:
    """Two queries, of two words and of one, about two snippets; the second is reworded so."""
    narrative = torch.stack((EAST, NORTH))
    unknown = torch.zeros(2, dtype=torch.bool)
    first = Sample("go east", 4.0, None, narrative, 2, torch.stack((2 * EAST, 4 * NORTH)), unknown)
    reworded = torch.stack(rewordings) if rewordings else None
    return collate_inputs([first, Sample("west", 4.0, None, narrative, 2, WEST[None], unknown[:1], reworded)])


def test_a_sentence_is_the_mean_of_its_words() -> None:
    words = torch.tensor([[[1.0, 0.0], [0.0, 3.0], [9.0, 9.0]], [[2.0, 1.0], [9.0, 9.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    assert sentence_vectors(words, mask).tolist() == [[0.5, 1.5], [2.0, 1.0]]


def test_a_query_stands_first_and_its_rewordings_after_it() -> None:
    similarity, present = query_cosines(inputs())
    assert present.tolist() == [[True], [True]]
    assert similarity[0, 0].tolist() == pytest.approx([1 / 5**0.5, 2 / 5**0.5])
    assert similarity[1].tolist() == [[-1, 0]]
    similarity, present = query_cosines(inputs(EAST, 3 * NORTH))
    assert present.tolist() == [[True, False, False], [True] * 3]
    assert similarity[1].tolist() == [[-1, 0], [1, 0], [0, 1]]
    assert similarity[0, 1:].tolist() == [[0, 0], [0, 0]]
    only_vectors = replace(inputs(EAST), reworded=None)
    assert query_cosines(only_vectors)[0].shape == (2, 1, 2)


def test_what_is_absent_is_neither_the_best_nor_in_the_mean() -> None:
    similarity = torch.tensor([[[-0.5, -0.25], [0.0, 0.0]], [[0.5, -0.5], [0.25, 0.75]]])
    present = torch.tensor([[True, False], [True, True]])
    assert pooled(similarity, present, "best").tolist() == [[-0.5, -0.25], [0.5, 0.75]]
    assert pooled(similarity, present, "mean").tolist() == [[-0.5, -0.25], [0.375, 0.125]]


def test_each_video_has_its_own_mean_and_variance() -> None:
    similarity = torch.tensor([[1.0, 3.0, 9.0], [0.0, 0.0, 6.0], [5.0, 5.0, 5.0]])
    mask = torch.tensor([[True, True, False], [True, True, True], [True, True, True]])
    scaled = standardised(similarity, mask)
    assert scaled[0].tolist() == [-1, 1, 0]
    assert scaled[1].tolist() == pytest.approx([-(0.5**0.5), -(0.5**0.5), 2**0.5])
    assert scaled[2].tolist() == [0, 0, 0]
