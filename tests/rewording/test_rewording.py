"""Rewordings, taken in or asked for, kept and gone on with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from src.commands.reword import reword
from src.data.rewordings import Rewordings, read_rewordings, to_line
from src.data.text_stores import rewording_store
from src.errors import UserError
from src.rewording.asked import rewordings_in
from src.rewording.imported import ImportedReworder
from src.rewording.reworder import Failure
from src.text.glove import Glove
from tests.compose import compose
from tests.narrators.servers import say, serve, status
from tests.synthetic import write_charades_cd


def of_lines(file: Path, *records: object) -> ImportedReworder:
    file.write_text("\n".join(json.dumps(record) for record in records) + "\n")
    return ImportedReworder("given", str(file))


def test_published_rewordings_are_taken_in_once_each(tmp_path: Path) -> None:
    reworder = of_lines(
        tmp_path / "r.jsonl",
        {"qid": 1, "query": "A man runs. ", "rephrased_query": ["He runs.", "A man runs.", " ", "He runs."]},
        {"qid": 2, "query": "A man runs.", "rephrased_query": ["Someone runs."]},
    )
    first, second = reworder.outcomes(["A man runs.", "A dog barks."])
    assert first == Rewordings("A man runs.", ("He runs.", "Someone runs."), reworder.writer)
    assert isinstance(second, Failure)


def test_the_whole_sentence_of_divided_queries_is_taken(tmp_path: Path) -> None:
    said = [
        {"sub_query_id": 1, "descriptions": ["Half."]},
        {"sub_query_id": 0, "descriptions": ["All of it.", "It all."]},
    ]
    record = {"v": {"sentences": ["he does it"], "response": [{"query_json": said}]}}
    file = tmp_path / "r.json"
    file.write_text(json.dumps(record))
    (outcome,) = ImportedReworder("given", str(file)).outcomes(["he does it"])
    assert isinstance(outcome, Rewordings)
    assert outcome.rewordings == ("All of it.", "It all.")


@pytest.mark.parametrize(
    "record", [{"query": "a"}, {"query": 3, "rephrased_query": ["b"]}, {"query": "a", "rephrased_query": [3]}, [1]]
)
def test_a_record_of_another_kind_is_named(record: object, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line 1"):
        list(of_lines(tmp_path / "r.jsonl", record).outcomes(["a"]))


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ([1], "a record needs query and rewordings"),
        ({"query": "a"}, "a record needs query and rewordings"),
        ({"query": " ", "rewordings": ["b"]}, "the query is no sentence"),
        ({"query": 3, "rewordings": ["b"]}, "the query is no sentence"),
        ({"query": "a", "rewordings": []}, "the rewordings of 'a' are not one or more sentences"),
        ({"query": "a", "rewordings": "b"}, "the rewordings of 'a' are not one or more sentences"),
        ({"query": "a", "rewordings": ["b", " "]}, "the rewordings of 'a' are not one or more sentences"),
        ({"query": "a", "rewordings": ["b", 3]}, "the rewordings of 'a' are not one or more sentences"),
        ({"query": "a", "rewordings": ["b"], "writer": "me"}, "the writer of 'a' is not an object of settings"),
    ],
)
def test_a_malformed_line_is_named(record: object, said: str, tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text('{"query": "first", "rewordings": ["fine"]}\n' + json.dumps(record))
    with pytest.raises(UserError, match=f"line 2: {said}"):
        list(read_rewordings(file))


def test_what_is_written_is_read_by_people_too(tmp_path: Path) -> None:
    one = Rewordings("a", ("“schön”",), {"reworder": "r"})
    assert to_line(one) == '{"query": "a", "rewordings": ["“schön”"], "writer": {"reworder": "r"}}\n'
    (tmp_path / "r.jsonl").write_text(to_line(one), encoding="utf-8")
    assert list(read_rewordings(tmp_path / "r.jsonl")) == [one]


def test_real_rewordings_are_taken_in(shared: Path) -> None:
    for file in ("qvhighlights/rephrased_queries_val.jsonl", "reworded/charades_sta_test.json"):
        reworder = ImportedReworder("given", str(shared / "data" / file))
        queries = list(reworder._texts)[:50]
        assert all(isinstance(outcome, Rewordings) for outcome in reworder.outcomes(queries))


def composed(place: Path, *overrides: str) -> object:
    paths = [f"paths.data={place}", f"paths.stores={place}/stores", f"paths.outputs={place}/outputs"]
    return compose("data=charades_cd", *paths, *overrides, config="reword")


def test_a_run_that_was_broken_off_asks_for_the_rest_alone(tmp_path: Path) -> None:
    write_charades_cd(tmp_path / "charades_cd", videos=1, queries=2)
    asked = ["reworder=endpoint", "reworder.name=m", "reworder.model.model=m", "reworder.model.requests=1"]
    answers = [say("1. Someone does it."), say("- 'It is done.'"), status(401, "wrong key")]
    with serve(*answers) as server, pytest.raises(UserError, match="refuses every request: 401"):
        reword(composed(tmp_path, *asked, f"reworder.model.url={server.url}"))
    file = tmp_path / "stores" / "rewordings" / "charades_cd" / "m.jsonl"
    kept = list(read_rewordings(file))
    assert [one.rewordings for one in kept] == [("Someone does it.",), ("It is done.",)]
    with serve(say("Once more.\nAnd again.")) as server:
        reword(composed(tmp_path, *asked, f"reworder.model.url={server.url}"))
        assert len(server.requests) == 8 - 2
    assert list(read_rewordings(file))[:2] == kept
    other = [*asked, "reworder.count=2"]
    with pytest.raises(UserError, match="other settings"):
        reword(composed(tmp_path, *other, "reworder.model.url=http://localhost"))


def test_rewordings_of_other_queries_are_refused_with_their_number(tmp_path: Path) -> None:
    write_charades_cd(tmp_path / "charades_cd", videos=1, queries=1)
    of_lines(tmp_path / "r.jsonl", {"query": "A man runs.", "rephrased_query": ["He runs."]})
    with pytest.raises(UserError, match="4 of 4 queries have no rewordings, such as"):
        reword(composed(tmp_path, "reworder=imported", "reworder.name=r", f"reworder.file={tmp_path}/r.jsonl"))


@pytest.mark.parametrize("answer", ["", "Here you are:", "a person runs.", "1.\n2.\n"])
def test_an_answer_that_rewords_nothing(answer: str) -> None:
    assert rewordings_in(answer, "A person runs.") == []


def test_a_store_of_rewordings_is_of_its_queries(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "glove.txt").write_text("person 1 0\ndoor 0 2\n")
    glove = Glove(str(tmp_path / "glove.txt"), 2, "https://example.org")
    file = tmp_path / "r.jsonl"
    file.write_text(to_line(Rewordings("the door", ("door", "door person"))))
    store = rewording_store(tmp_path / "r.h5", glove, file, ["the door", "the person"])
    assert store["the door"]["features"].shape == (2, 2)
    assert "1 of 2 queries have no rewordings" in caplog.text
    with pytest.raises(UserError, match="rewords other queries, none of these 1"):
        rewording_store(tmp_path / "r.h5", glove, file, ["the person"])
