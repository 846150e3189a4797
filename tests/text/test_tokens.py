from src.text.tokens import words


def test_words_are_lower_case_with_punctuation_and_contractions_apart() -> None:
    assert words("A person DOESN'T close the door, then sits.") == [
        *("a", "person", "does", "n't", "close", "the", "door", ",", "then", "sits", "."),
    ]


def test_white_space_of_any_kind_parts_words() -> None:
    assert words(" people \napplaud.\t") == ["people", "applaud", "."]
