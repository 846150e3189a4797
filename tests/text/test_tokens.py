from hypothesis import given
from hypothesis import strategies as st
from nltk.tokenize import NLTKWordTokenizer

from src.text.tokens import words


def test_words_are_lower_case_with_punctuation_and_contractions_apart() -> None:
    assert words("A person DOESN'T close the door, then sits.") == [
        *("a", "person", "does", "n't", "close", "the", "door", ",", "then", "sits", "."),
    ]


def test_white_space_of_any_kind_parts_words() -> None:
    assert words(" people \napplaud.\t") == ["people", "applaud", "."]


def as_nltk(text: str) -> None:
    assert words(text) == NLTKWordTokenizer().tokenize(text.lower()), text


pieces = st.sampled_from(
    [
        *(
            "a",
            "person",
            "The",
            "3",
            "3.5",
            "1,000",
            "u.s.",
            "t-shirt",
            "x",
            "can",
            "not",
            "d",
            "more",
            "don",
            "ne",
            "n",
        ),
        *(
            "doesn't",
            "it's",
            "i'm",
            "he'd",
            "they'll",
            "we're",
            "you've",
            "o'clock",
            "dogs'",
            "'tis",
            "n't",
            "'s",
            "s's",
        ),
        *("cannot", "gonna", "gotta", "gimme", "lemme", "wanna", "d'ye", "more'n", "can't've", "couldn't've", "x'll's"),
        *(" ", " ", " ", " ", "  ", "\n", "\t", ", ", ",", ". ", ".", "..", "...", "-", "--", " - ", "'", "''", '"'),
        *("?", "!", ":", ";", "(", ")", "$", "%", "é", "ß", "ſ", "K", "’", "“", "_", "\xa0", "\x1c"),
    ]
)


@given(st.lists(pieces, max_size=14).map("".join))
def test_every_mixture_of_words_and_marks_is_split_as_nltk_does(text: str) -> None:
    as_nltk(text)


@given(st.lists(st.sampled_from(["a", "it's", "isn't", "we'll", "cannot", "man", "door", "3", ",", "."]), max_size=9))
def test_plain_sentences_are_split_as_nltk_does(tokens: list[str]) -> None:
    as_nltk(" ".join(tokens))
    as_nltk(" ".join(tokens).replace(" ,", ",").replace(" .", ".") + ".")


@given(st.text("abcdnotlmreves'.,- \n", max_size=20))
def test_every_text_of_plain_letters_is_split_as_nltk_does(text: str) -> None:
    as_nltk(text)


@given(st.text(max_size=20))
def test_any_text_is_split_as_nltk_does(text: str) -> None:
    as_nltk(text)


def test_a_long_text_that_is_almost_plain_is_no_trap() -> None:
    as_nltk("a person opens the door " * 400 + "?")
