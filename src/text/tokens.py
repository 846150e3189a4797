"""A sentence into words, the way GloVe vectors and the paper's Table 1 count them."""

from __future__ import annotations

import re

from nltk.tokenize import NLTKWordTokenizer

_TOKENIZER = NLTKWordTokenizer()

# Of what most texts are made of NLTK splits three things: commas, the last full stop, and contractions at a word's end.
# Here are letters, digits and blanks; no dots or dashes in a row; apostrophes within words; commas after them.
# Possessive, or what is almost plain would take time that doubles with each letter.
_PLAIN = re.compile(r"(?:[a-z0-9 \t\n]++|\.(?!\.)|-(?!-)|(?<=[a-z0-9])'(?=[a-z])|,(?=[ \t\n]|\Z))*+")
_CONTRACTED = re.compile(r"\b(?:cannot|d'ye|gimme|gonna|gotta|lemme|more'n|wanna)\b")
_SHORT = ("'s", "'m", "'d")
_LONG = ("'ll", "'re", "'ve", "n't")


def words(sentence: str) -> list[str]:
    """Lower-case words and punctuation marks, as NLTK's word tokenizer splits them (it needs no downloaded model).

    >>> words("Person doesn't put on their shoes.")
    ['person', 'does', "n't", 'put', 'on', 'their', 'shoes', '.']
    """
    text = sentence.lower()
    if _PLAIN.fullmatch(text) is None or _CONTRACTED.search(text) is not None:
        return _TOKENIZER.tokenize(text)
    tokens = text.replace(",", " , ").split()
    if tokens and tokens[-1].endswith(".") and tokens[-1] != ".":
        tokens[-1:] = [tokens[-1][:-1], "."]
    return [part for token in tokens for part in _parts(token)] if "'" in text else tokens


def _parts(token: str) -> list[str]:
    """A word without its contractions, and these."""
    ends = []
    for endings, length in ((_SHORT, 2), (_LONG, 3)):
        if token.endswith(endings) and len(token) > length:
            ends.append(token[-length:])
            token = token[:-length]
    return [token, *reversed(ends)]
