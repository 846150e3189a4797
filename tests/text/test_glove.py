from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from src.errors import UserError
from src.text.glove import Glove

LINES = {
    "person": [1.0, 0.0],
    "door": [0.0, 2.0],
    "café": [0.5, 0.5],
    ".": [3.0, 1.0],
    ". . .": [9.0, 9.0],  # as in glove.840B.300d.txt: a word with spaces, whose first part is a word in use
    "unused": [5.0, 5.0],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "glove.txt"
    path.write_text("".join(f"{word} {a} {b}\n" for word, (a, b) in LINES.items()))
    return path


def glove(path: Path, dim: int = 2) -> Glove:
    return Glove(str(path), dim, "https://example.org")


def error(one: Glove, sentence: str = "A person.") -> str:
    with pytest.raises(UserError) as caught:
        list(one.words([sentence]))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_words_have_their_vector_and_unknown_ones_are_flagged(path: Path) -> None:
    first, second = glove(path).words(["Person closes door.", "Café"])
    assert first.features.tolist() == [[1, 0], [0, 0], [0, 2], [3, 1]]
    assert first.unknown.tolist() == [False, True, False, False]
    assert second.features.tolist() == [[0.5, 0.5]]


def test_a_sentence_is_the_mean_of_its_known_words(path: Path) -> None:
    vectors = list(glove(path).sentences(["person closes door", "nothing known here", "a door"]))
    assert np.stack(vectors).tolist() == [[0.5, 1], [0, 0], [0, 2]]


def test_only_words_in_use_are_read(path: Path) -> None:
    path.write_text(path.read_text() + "broken 1 two\n")
    assert next(glove(path).words(["a person"])).unknown.tolist() == [True, False]
    assert error(glove(path), "broken").endswith("glove.txt, line 7: not a word and 2 numbers")


def test_a_file_of_another_size_is_told(path: Path) -> None:
    assert "line 1: not a word and 3 numbers (text.dim)" in error(glove(path, 3), "person")
    assert "none of the 1 words in use has a vector of 1 numbers" in error(glove(path, 1), "person")


def test_numbers_must_be_finite(path: Path) -> None:
    path.write_text("person nan 1\n")
    assert "line 1: not a word and 2 numbers" in error(glove(path))


def test_a_missing_file_says_where_to_get_it(tmp_path: Path) -> None:
    said = error(glove(tmp_path / "glove.txt"))
    assert said.startswith(f"no word vectors at {tmp_path}/glove.txt: get them from https://example.org")
    assert "text.encoder.path" in said


def test_the_identity_changes_with_the_file(path: Path) -> None:
    before = glove(path).identity
    path.write_text(path.read_text() + "more 1 2\n")
    assert glove(path).identity != before


def test_the_real_vectors(shared: Path) -> None:
    (path,) = (shared / "data" / "glove").glob("*.txt")
    words = next(glove(path, 300).words(["A person opens the dooor."]))
    assert words.unknown.tolist() == [False, False, False, False, True, False]
    assert words.features.shape == (6, 300)
    line = next(line for line in path.read_text().splitlines() if line.startswith("person "))
    np.testing.assert_allclose(words.features[1], np.array(line.split()[1:], np.float32))


def test_a_file_of_the_same_size_with_other_vectors_is_another(path: Path) -> None:
    before = glove(path).identity
    content = path.read_bytes()
    path.write_bytes(content[:-2] + (b"1" if content[-2:-1] != b"1" else b"2") + content[-1:])
    assert path.stat().st_size == len(content)
    assert glove(path).identity != before
