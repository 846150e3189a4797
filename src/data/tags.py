"""What kinds of words a sentence is made of."""

from __future__ import annotations

from enum import IntEnum
from functools import cached_property
from typing import Any

from src.errors import UserError
from src.text.tokens import words


class Tag(IntEnum):
    """A kind of word, as methods that mask words tell them apart."""

    NOUN = 0
    VERB = 1
    ADJECTIVE = 2
    ADVERB = 3
    OTHER = 4


_KINDS = {
    **dict.fromkeys(("NN", "NNS", "NNP", "NNPS"), Tag.NOUN),
    **dict.fromkeys(("VB", "VBD", "VBG", "VBN", "VBP", "VBZ"), Tag.VERB),
    **dict.fromkeys(("JJ", "JJR", "JJS"), Tag.ADJECTIVE),
    **dict.fromkeys(("RB", "RBR", "RBS", "RP"), Tag.ADVERB),
}
"""Of the tags of the Penn Treebank; the others are `Tag.OTHER`."""


class NltkTagger:
    """The tags of NLTK's averaged perceptron."""

    @cached_property
    def _tagger(self) -> Any:
        from nltk.tag.perceptron import PerceptronTagger

        try:
            return PerceptronTagger()
        except LookupError as error:
            raise UserError(
                "no weights of NLTK's tagger, by which words are masked: fetch them with "
                "python -m nltk.downloader averaged_perceptron_tagger_eng"
            ) from error

    def require(self) -> None:
        """Raise a UserError if it cannot be used."""
        _ = self._tagger

    def __call__(self, sentence: str) -> list[Tag]:
        """A tag for each word of the sentence as it is split for word vectors."""
        return [_KINDS.get(tag, Tag.OTHER) for _, tag in self._tagger.tag(words(sentence))]
