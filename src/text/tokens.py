"""A sentence into words, the way GloVe vectors and the paper's Table 1 count them."""

from __future__ import annotations

from nltk.tokenize import NLTKWordTokenizer

_TOKENIZER = NLTKWordTokenizer()


def words(sentence: str) -> list[str]:
    """Lower-case words and punctuation marks, as NLTK's word tokenizer splits them (it needs no downloaded model).

    >>> words("Person doesn't put on their shoes.")
    ['person', 'does', "n't", 'put', 'on', 'their', 'shoes', '.']
    """
    return _TOKENIZER.tokenize(sentence.lower())
