"""Sentences as the letters of their words, for networks that spell."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from src.text.tokens import words


def spell(sentences: Sequence[str], alphabet: str) -> Tensor:
    """The words of each sentence by their letters: (B, Q, W) long, Q words of at most W letters.

    >>> spell(["a cab"], alphabet="abc").tolist()
    [[[2, 0, 0], [4, 2, 3]]]

    Args:
        sentences: B texts, split into words as the text encoders with a vector for each word split them.
        alphabet: The letters that are told apart, a number each from 2 on; any other is 1, and 0 is none.
    """
    number = {letter: place for place, letter in enumerate(alphabet, start=2)}
    spelt = [[torch.tensor([number.get(letter, 1) for letter in word]) for word in words(each)] for each in sentences]
    longest = max((len(word) for each in spelt for word in each), default=0)
    none = torch.zeros(longest, dtype=torch.long)  # so that each sentence is padded to the longest word of all
    return pad_sequence([pad_sequence([*each, none], batch_first=True)[:-1] for each in spelt], batch_first=True)
