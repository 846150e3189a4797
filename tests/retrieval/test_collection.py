"""A collection answers sentences with moments, follows its narratives, and says what it cannot search."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from src.commands.search import search
from src.data.text_stores import narrative_store
from src.errors import UserError
from src.retrieval import Collection
from src.retrieval.ranker import Found, best
from src.retrieval.results import lighthouse, record
from tests.compose import compose
from tests.retrieval.captions import TOLD, settings, write_captions


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_captions(tmp_path / "captions.json")
    return tmp_path


@pytest.fixture
def collection(place: Path) -> Collection:
    return Collection(overrides=settings(place))


def test_a_sentence_finds_its_moment_with_the_narrative_that_says_so(collection: Collection) -> None:
    first, *others = collection.search("a woman opens the door")
    assert (first.video, first.start, first.end) == ("kitchen", 2.0, 4.0)
    assert first.because.text == "a woman opens the door"
    assert [each.time for each in first.narratives] == [2.0, 3.0]
    assert all(first.probability >= other.probability >= 0 for other in others)
    assert first.probability <= 1


def test_narratives_that_are_prepared_for_training_are_not_encoded_again(
    place: Path, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    hits = collection.search("a woman opens the door")
    store = collection.places.prepared_narratives_of(collection.name)
    narrative_store(store, collection.encoder, collection.narratives, ["kitchen"])
    shutil.rmtree(collection.places.index_of(collection.name))
    other = Collection(overrides=settings(place))
    with monkeypatch.context() as patch:
        patch.setattr(type(other.encoder), "sentences", lambda *_: pytest.fail("encoded again"))
        other.update()
    again = other.search("a woman opens the door")
    assert [(each.video, each.start, each.end) for each in again] == [
        (each.video, each.start, each.end) for each in hits
    ]
    assert [each.probability for each in again] == pytest.approx([each.probability for each in hits], abs=1e-3)


def test_several_sentences_are_answered_as_each_alone(collection: Collection) -> None:
    sentences = ["a dog runs", "a cat sleeps", "a man cooks soup"]
    together = collection.search_all(sentences)
    assert [hits[0].video for hits in together] == ["street", "short", "kitchen"]
    for sentence, hits in zip(sentences, together, strict=True):
        assert record(sentence, collection.search(sentence)) == record(sentence, hits)


def test_each_sentence_has_its_own_rewordings(collection: Collection) -> None:
    first, second = collection.questions(["a dog runs", "a cat sleeps"], [[], ["a cat is asleep", "a dog runs"]])
    assert first.rewordings is None
    assert second.rewordings is not None
    assert second.rewordings.shape == (2, len(first.vector))
    np.testing.assert_allclose(second.rewordings[1], first.vector, atol=1e-6)


def test_one_video_alone(collection: Collection) -> None:
    hits = collection.search("a dog runs", video="kitchen")
    assert {hit.video for hit in hits} == {"kitchen"}
    with pytest.raises(UserError, match="no video 'nowhere'"):
        collection.search("a dog runs", video="nowhere")


def test_a_sentence_in_another_language_is_answered_with_little_trust(collection: Collection) -> None:
    known = collection.search("a dog runs")[0].probability
    for sentence in ("狗在跑", "ein Hund läuft", "🐕", "?!"):
        hits = collection.search(sentence)
        assert all(hit.probability < known for hit in hits)


def test_an_empty_sentence(collection: Collection) -> None:
    for sentences in (["  "], []):
        with pytest.raises(UserError, match="at least one sentence"):
            collection.search_all(sentences)


def test_the_index_follows_what_is_told(place: Path) -> None:
    Collection(overrides=settings(place)).update()
    told = {**TOLD, "new": ["a horse jumps"], "kitchen": ["a horse sleeps"]}
    del told["street"]
    write_captions(place / "captions.json", told)
    (place / "stores" / "narratives" / "own" / "told.jsonl").unlink()
    again = Collection(overrides=settings(place))
    assert again.update().searched == 3
    assert [hit.video for hit in again.search("a horse jumps")][:2] == ["new", "kitchen"]
    assert "street" not in again.index.digests()


def test_another_encoder_makes_the_index_anew(place: Path) -> None:
    Collection(overrides=settings(place)).update()
    other = Collection(overrides=[*settings(place), "text.dim=128"])
    assert other.search("a dog runs")[0].video == "street"


def test_a_video_without_captions_is_left_out_and_the_others_are_searched(place: Path) -> None:
    videos = place / "videos"
    videos.mkdir()
    for name in ("street", "unknown"):
        (videos / f"{name}.mp4").write_bytes(b"its captions are what counts")
    collection = Collection(videos, settings(place))
    update = collection.update()
    assert update.searched == 1
    (problem,) = update.problems
    assert "unknown is left out: no captions of unknown" in problem
    assert collection.search("a dog runs")[0].video == "street"
    (videos / "street.mp4").unlink()
    with pytest.raises(UserError, match="there is nothing to search: unknown is left out"):
        collection.update()


def test_two_searches_at_once(collection: Collection) -> None:
    collection.update()
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(collection.search("a dog runs")[0].video)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["street"] * 8


def test_the_command_prints_a_table_and_writes_json_lines(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "queries.jsonl").write_text('{"query": "a dog runs"}\n\n{"query": "a cat sleeps", "qid": 3}\n')
    output, queries = place / "out" / "found.jsonl", place / "queries.jsonl"
    search(compose(*settings(place), f"queries={queries}", f"output={output}", "top=2", config="search"))
    printed = capsys.readouterr().out
    assert "street" in printed
    assert "a cat sleeps" in printed
    first, second = (json.loads(line) for line in output.read_text().splitlines())
    assert first["query"] == "a dog runs"
    assert len(first["moments"]) <= 2
    best_one = second["moments"][0]
    assert (best_one["video"], best_one["start"], best_one["end"]) == ("short", 0.0, 1.0)
    assert best_one["because"] == {"time": 0.0, "text": "a cat sleeps"}
    assert 0 < best_one["probability"] <= 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "give a sentence"),
        (["query=' '"], "the sentence is empty"),
        (["query=a", "queries=b"], "give a sentence"),
        (["queries=nowhere.txt"], "no file of sentences"),
        (["query=a", "collection=null"], "say where the videos are"),
        (["query=a", "narrate=false"], "none of 3 videos is narrated"),
        (["query=a", "video=nowhere"], "no video 'nowhere'"),
        (["query=a", "videos=/nowhere/at/all"], "no videos at"),
    ],
)
def test_a_slip_is_one_line(place: Path, given: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        search(compose(*settings(place), *given, config="search"))


def test_overlapping_moments_of_a_video_are_one() -> None:
    found = [
        Found("a", 0, 10, 0.5),
        Found("a", 1, 10, 0.6),
        Found("b", 0, 10, 0.4),
        Found("a", 9, 20, 0.1),
    ]
    assert best(found, 9) == [found[1], found[2], found[3]]
    assert best(found, 2) == [found[1], found[2]]


def test_answers_in_lighthouses_form() -> None:
    told = lighthouse([(0.0, 2.0, 0.25), (4.0, 6.0, 0.75)], [0.1, 0.2, 0.3])
    assert told == {
        "pred_relevant_windows": [[4.0, 6.0, 0.75], [0.0, 2.0, 0.25]],
        "pred_saliency_scores": [0.1, 0.2, 0.3],
    }
