from __future__ import annotations

import os
import pickle
import random
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest

from src.data.narratives import write_narratives
from src.data.records import Narratives
from src.data.store import Store
from src.data.text_stores import narrative_store, query_store
from src.errors import UserError
from src.text.encoder import TextEncoder
from src.text.glove import Glove
from src.text.huggingface import HuggingFaceText
from tests.text.models import bert

VIDEOS = [
    Narratives("v_1", (0.0, 1.0, 2.5), ("a person", "the door", "a person opens the door")),
    Narratives("v_2", (0.5,), ("nothing",)),
]


@pytest.fixture
def glove(tmp_path: Path) -> Glove:
    path = tmp_path / "glove.txt"
    path.write_text("person 1 0\ndoor 0 2\n")
    return Glove(str(path), 2, "https://example.org")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_narratives(tmp_path / "n.jsonl", VIDEOS)
    return tmp_path / "n.jsonl"


def stamp(path: Path) -> int:
    """Changes when the file is made anew."""
    return path.stat().st_ino


def hold(path: Path) -> None:
    """Keeps the number of the present file from being used again for a new one."""
    os.link(path, path.with_name(path.name + ".held"))


def test_queries_are_stored_by_sentence(tmp_path: Path, glove: Glove) -> None:
    store = query_store(tmp_path / "q.h5", glove, ["Person opens door", "door", "door"])
    assert list(store) == ["Person opens door", "door"]
    rows = store["Person opens door"]
    assert rows["features"].tolist() == [[1, 0], [0, 0], [0, 2]]
    assert rows["unknown"].tolist() == [False, True, False]


def test_a_text_is_split_once_and_a_word_stored_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(0)
    vocabulary = [f"word{number}" for number in range(300)]
    vectors = tmp_path / "glove.txt"
    vectors.write_text("".join(f"{word} {' '.join(['0.25'] * 299)} {n}\n" for n, word in enumerate(vocabulary)))
    sentences = [" ".join(chance.choices([*vocabulary, "nowhere"], k=13)) for _ in range(3000)]
    split: list[str] = []

    def counting(sentence: str) -> list[str]:
        split.append(sentence)
        return sentence.split()

    monkeypatch.setattr("src.text.words.split", counting)
    encoder = Glove(str(vectors), 300, "https://example.org")
    store = query_store(tmp_path / "q.h5", encoder, sentences)
    assert sorted(split) == sorted(set(sentences))
    assert store.path.stat().st_size < 3000 * 13 * 300 * 2 / 10
    copy = pickle.loads(pickle.dumps(store))
    for sentence, words in zip(sentences[:50], encoder.words(sentences[:50]), strict=True):
        for each in (store, copy):
            assert each[sentence]["features"].tolist() == words.features.tolist()
            assert each[sentence]["unknown"].tolist() == words.unknown.tolist()
    assert (store.dim, store.count(sentences[0])) == (300, 13)
    assert len(pickle.dumps(store)) < 1.2 * sum(map(len, sentences)) + 100_000
    split.clear()
    list(encoder.sentences(sentences[:50]))
    assert split == sentences[:50]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([0.0, 1.0], "has a table, and does not say which of its rows each is"),
        ([[0], [1]], "has a table, and does not say which of its rows each is"),
        (None, "has a table, and does not say which of its rows each is"),
        ([0, -1], "'b' has rows that its table has not"),
        ([0, 2], "'b' has rows that its table has not"),
    ],
)
def test_rows_that_the_table_of_words_has_not_are_told(
    tmp_path: Path, glove: Glove, rows: Sequence[object] | None, said: str
) -> None:
    path = query_store(tmp_path / "q.h5", glove, ["person", "door"]).path
    with h5py.File(path, "r+") as file:
        keys = list(file["keys"].asstr()[:])
        del file["row"]
        if rows is not None:
            file.create_dataset("row", data=np.array(rows))
    with pytest.raises(UserError, match=said.replace("'b'", repr(keys[1]))):
        Store(path)[keys[1]]


def test_narratives_are_stored_by_video_with_their_times(tmp_path: Path, glove: Glove, file: Path) -> None:
    store = narrative_store(tmp_path / "n.h5", glove, file, ["v_1"])
    assert list(store) == ["v_1", "v_2"]
    assert store["v_1"]["times"].tolist() == [0, 1, 2.5]
    assert store["v_1"]["features"].tolist() == [[1, 0], [0, 2], [0.5, 1]]
    assert store["v_2"]["features"].tolist() == [[0, 0]]


def test_both_kinds_of_encoder_make_both_stores(tmp_path: Path, file: Path) -> None:
    encoder: TextEncoder = HuggingFaceText(bert(tmp_path / "bert"), "mean", True, None, 2, "cpu")
    words = query_store(tmp_path / "q.h5", encoder, ["a person", "the door opens"])
    assert words["the door opens"]["features"].shape == (5, 8)
    assert not words["the door opens"]["unknown"].any()
    sentences = narrative_store(tmp_path / "n.h5", encoder, file, ["v_1", "v_2"])
    assert sentences["v_1"]["features"].shape == (3, 8)
    assert sentences["v_1"]["features"].float().norm(dim=1).tolist() == pytest.approx([1, 1, 1], abs=1e-2)


def test_stores_are_made_again_only_when_what_made_them_changed(tmp_path: Path, glove: Glove, file: Path) -> None:
    queries, narratives = tmp_path / "q.h5", tmp_path / "n.h5"

    def made() -> tuple[int, int]:
        query_store(queries, glove, ["a person", "a door"])
        narrative_store(narratives, glove, file, ["v_1"])
        return stamp(queries), stamp(narratives)

    first = made()
    hold(queries)
    hold(narratives)
    assert made() == first
    query_store(queries, glove, ["a person"])
    assert stamp(queries) != first[0]
    write_narratives(file, VIDEOS[:1])
    assert made()[1] != first[1]
    assert list(Store(narratives)) == ["v_1"]
    before = made()
    for path in (queries, narratives):
        path.with_name(path.name + ".held").unlink()
        hold(path)
    glove.path.write_text(glove.path.read_text() + "a 1 1\n")
    after = made()
    assert before[0] != after[0]
    assert before[1] != after[1]
    assert Store(queries)["a person"]["unknown"].tolist() == [False, False]


def error(path: Path, encoder: TextEncoder, file: Path, *videos: str) -> str:
    with pytest.raises(UserError) as caught:
        narrative_store(path, encoder, file, videos)
    return str(caught.value)


def test_videos_without_narratives_are_counted_and_named(tmp_path: Path, glove: Glove, file: Path) -> None:
    expected = f"{file} has no narratives of 2 of 3 videos ('v_3', 'v_4'): write them with python -m src.narrate"
    assert error(tmp_path / "n.h5", glove, file, "v_1", "v_3", "v_4") == expected
    assert not (tmp_path / "n.h5").exists()
    narrative_store(tmp_path / "n.h5", glove, file, ["v_1"])
    assert error(tmp_path / "n.h5", glove, file, "v_1", "v_3", "v_4") == expected


def test_bad_narratives_keep_the_store_that_was_there(tmp_path: Path, glove: Glove, file: Path) -> None:
    path = tmp_path / "n.h5"
    narrative_store(path, glove, file, ["v_1"])
    before = path.read_bytes()
    file.write_text(file.read_text() + "{}\n")
    assert "n.jsonl, line 3: a record needs video, times and texts" in error(path, glove, file, "v_1")
    file.unlink()
    assert "no narratives at" in error(path, glove, file, "v_1")
    assert path.read_bytes() == before
