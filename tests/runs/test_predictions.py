"""Predictions in files, written and read in each of the formats."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from src.data.records import LONGEST, Moment
from src.errors import UserError
from src.moments import RankedMoments
from src.runs.predictions import (
    Prediction,
    read_predictions,
    require_all_or_no_saliency,
    to_predictions,
    to_ranked,
    write_answers,
    write_predictions,
    write_submission,
)

MOMENTS = [
    Moment("a", "v1", "A person sits.", ((1.0, 4.0),), 10.0),
    Moment("b", "v1", "A person stands.", ((5.0, 8.0),), 10.0),
    Moment("c", "v2", "A person runs.", ((0.0, 3.0),), 10.0),
]
ANSWERS = [
    Prediction("a", ((1.0, 4.0, 0.9), (2.0, 3.0, 0.1))),
    Prediction("b", ((0.0, 2.0, 0.5),)),
    Prediction("c", ((0.0, 3.0, 0.5),), (0.1, 0.2)),
]


def test_predictions_survive_being_written(tmp_path: Path) -> None:
    file = tmp_path / "predictions.jsonl"
    write_predictions(file, ANSWERS[::-1], MOMENTS, "test")
    assert read_predictions(file, MOMENTS) == ANSWERS


def test_activitynet_and_qvhighlights_forms_are_read(tmp_path: Path) -> None:
    results = {
        "v1": [
            {"sentence": "a person sits", "timestamp": [1, 4]},
            {"sentence": "a person stands", "timestamp": [[5, 8], [0, 2]]},
        ],
        "v2": [{"sentence": "a person runs", "timestamp": [2, 3]}],
    }
    file = tmp_path / "activitynet.json"
    file.write_text(json.dumps({"version": "1", "results": results}))
    windows = [[window[:2] for window in answer.windows] for answer in read_predictions(file, MOMENTS)]
    assert windows == [[(1, 4)], [(5, 8), (0, 2)], [(2, 3)]]
    file = tmp_path / "submission.jsonl"
    lines = [
        {"qid": moment.query_id, "pred_relevant_windows": [[0, 2, 0.1], [1, 4, 0.7]], "pred_saliency_scores": [0.5]}
        for moment in MOMENTS
    ]
    file.write_text("\n".join(map(json.dumps, lines)))
    answers = read_predictions(file, MOMENTS)
    assert answers[0] == Prediction("a", ((1.0, 4.0, 0.7), (0.0, 2.0, 0.1)), (0.5,))


def test_predictions_are_written_in_as_many_digits_as_tell(tmp_path: Path) -> None:
    answer = Prediction("a", [(1 / 3, 20 / 3, 2e-5 / 3), (0.0, 1.0, 1e-6 / 3)], [1 / 3])
    write_predictions(tmp_path / "p.jsonl", [answer], MOMENTS[:1], "test")
    record = json.loads((tmp_path / "p.jsonl").read_text())
    assert record["predictions"] == [[0.3333, 6.6667, 6.66667e-06], [0.0, 1.0, 3.33333e-07]]
    assert record["saliency"] == [0.333333]


def require_official(path: Path, moments: list[Moment]) -> list[dict[str, Any]]:
    """What QVHighlights' server and its authors' evaluation rely on; gives the records."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [record["qid"] for record in records] == [int(moment.query_id) for moment in moments]
    for record, moment in zip(records, moments, strict=True):
        assert record.keys() <= {"qid", "query", "vid", "pred_relevant_windows", "pred_saliency_scores"}
        assert (record["query"], record["vid"]) == (moment.query, moment.video)
        windows = record["pred_relevant_windows"]
        assert windows
        assert [score for _, _, score in windows] == sorted((score for _, _, score in windows), reverse=True)
        for start, end, _ in windows:
            assert 0 <= start <= end <= moment.duration
            assert (start, end) == (round(start, 2), round(end, 2))
        if "pred_saliency_scores" in record:
            assert len(record["pred_saliency_scores"]) == int(moment.duration / 2)
            assert all(isinstance(score, float) for score in record["pred_saliency_scores"])
    return records


def test_a_submission_passes_the_official_checks(tmp_path: Path) -> None:
    moments = [Moment(str(i), f"v{i}_0_150", "A “quoted” query", ((0.0, 2.0),), d) for i, d in ((7, 150.0), (3, 21.0))]
    answers = [
        Prediction("3", [(0.123456, 20.9999, 0.123456789)], torch.arange(11.0)),
        Prediction("7", [(1 / 3, 149.999, 0.9), (0, 2, 0.1)], torch.arange(75.0)),
    ]
    write_submission(tmp_path / "submission" / "s.jsonl", answers, moments)
    first, second = require_official(tmp_path / "submission" / "s.jsonl", moments)
    assert first["pred_relevant_windows"] == [[0.33, 150.0, 0.9], [0.0, 2.0, 0.1]]
    assert first["pred_saliency_scores"] == list(range(75))
    # 21 s are ten whole clips; each has the score of the snippet, of eleven, in which its middle lies.
    assert "“quoted”" in (tmp_path / "submission" / "s.jsonl").read_text(encoding="utf-8")  # for people, too
    assert second["pred_relevant_windows"] == [[0.12, 21.0, 0.123457]]
    assert second["pred_saliency_scores"] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert [len(each.saliency) for each in read_predictions(tmp_path / "submission" / "s.jsonl", moments)] == [75, 10]


def test_where_no_saliency_is_predicted_a_submission_has_none(tmp_path: Path) -> None:
    write_submission(tmp_path / "s.jsonl", [Prediction("1", [(0, 2, 1)])], [Moment("1", "v", "q", (), 10.0)])
    assert "pred_saliency_scores" not in json.loads((tmp_path / "s.jsonl").read_text())


def test_a_submission_lies_beside_the_predictions_where_there_is_a_server(tmp_path: Path) -> None:
    write_answers(tmp_path / "predictions", ANSWERS, MOMENTS, "val", submission=None)
    write_answers(tmp_path / "predictions", ANSWERS, MOMENTS, "test", submission="hl_{split}.jsonl")
    written = {str(file.relative_to(tmp_path)): file for file in tmp_path.rglob("*.jsonl")}
    assert sorted(written) == ["predictions/test.jsonl", "predictions/val.jsonl", "submission/hl_test.jsonl"]
    assert all(read_predictions(file, MOMENTS)[1] == ANSWERS[1] for file in written.values())


def line(query_id: str, windows: object) -> str:
    return json.dumps({"query_id": query_id, "predictions": windows})


GOOD = [line(moment.query_id, [[0, 1, 1]]) for moment in MOMENTS]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (GOOD[:2], "lacks a prediction for 1 queries (c)"),
        ([*GOOD, line("d", [[0, 1, 1]])], "answers unknown 1 queries (d)"),
        ([*GOOD, GOOD[0]], "line 4: query a was already answered"),
        (["{"], "line 1: not a JSON record"),
        ([*GOOD[:2], line("c", [])], "line 3: no predicted windows"),
        ([*GOOD[:2], line("c", [[3, 1]])], "ends before it starts"),
        ([*GOOD[:2], line("c", [[None, 1]])], "is not [start, end]"),
        (['{"windows": 3}'], "needs query_id"),
        ([*GOOD[:2], GOOD[2][:-1] + ', "saliency": [0.5, NaN]}'], "line 3, query c: its saliency is"),
        ([GOOD[0][:-1] + ', "saliency": 1}', *GOOD[1:]], "line 1, query a: its saliency is 1, not a list of finite"),
        ([GOOD[0][:-1] + ', "saliency": ["1"]}', *GOOD[1:]], "line 1, query a: its saliency is ['1'], not a list of"),
        (['{"results": {"v1": []}}'], "video v1: 0 predictions for 2 queries"),
        (['{"results": {"v2": [{"sentence": "he jumps", "timestamp": [0, 1]}]}}'], "'he jumps' where the query is"),
    ],
)
def test_broken_predictions_are_refused_by_file_and_line(tmp_path: Path, lines: list[str], expected: str) -> None:
    file = tmp_path / "broken.jsonl"
    file.write_text("\n".join(lines))
    with pytest.raises(UserError) as caught:
        read_predictions(file, MOMENTS)
    assert expected in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_line_ends_at_a_line_feed_only(tmp_path: Path) -> None:
    odd = [replace(moment, query=f"a{end}b") for moment, end in zip(MOMENTS, "\u2028\x85\r", strict=True)]
    file = tmp_path / "predictions.jsonl"
    write_predictions(file, ANSWERS, odd, "test")
    assert read_predictions(file, odd) == ANSWERS


def test_a_batch_becomes_predictions_without_its_padding_and_back() -> None:
    ranked = RankedMoments(
        windows=torch.tensor([[[1.0, 4.0], [2.0, 3.0]], [[0.0, 2.0], [0.0, 0.0]]]),
        scores=torch.tensor([[0.5, 0.25], [0.75, -torch.inf]]),
        counts=torch.tensor([2, 1]),
        saliency=torch.tensor([[0.5, 0.25, 0.0], [1.0, 2.0, 3.0]]),
        lengths=torch.tensor([2, 3]),
    )
    answers = to_predictions(ranked, MOMENTS[:2])
    assert answers == [
        Prediction("a", ((1.0, 4.0, 0.5), (2.0, 3.0, 0.25)), (0.5, 0.25)),
        Prediction("b", ((0.0, 2.0, 0.75),), (1.0, 2.0, 3.0)),
    ]
    back = to_ranked(answers)
    assert back.windows.tolist() == ranked.windows.tolist()
    assert back.scores.tolist() == [[0.5, 0.25], [0.75, -math.inf]]
    assert (back.counts.tolist(), back.lengths.tolist()) == ([2, 1], [2, 3])
    assert back.saliency is not None
    assert back.saliency.tolist() == [[0.5, 0.25, 0.0], [1.0, 2.0, 3.0]]
    without = replace(ranked, saliency=None)
    assert to_predictions(without, MOMENTS[:2])[0] == Prediction("a", ((1.0, 4.0, 0.5), (2.0, 3.0, 0.25)))
    assert to_ranked(to_predictions(without, MOMENTS[:2])).saliency is None
    # Where some have none, theirs is all padding.
    some = to_ranked([answers[0], Prediction("b", ((0.0, 1.0, 1.0),))])
    assert some.lengths.tolist() == [2, 0]


def test_predictions_are_the_same_in_all_or_differ() -> None:
    one = Prediction("a", ((1.0, 4.0, 0.9),), (0.5,))
    others = [("b", ((1.0, 4.0, 0.9),), (0.5,)), ("a", ((1.0, 4.0, 0.8),), (0.5,)), ("a", ((1.0, 4.0, 0.9),), (0.6,))]
    for other in (Prediction(*other) for other in others):  # type: ignore[arg-type]
        assert one != other
        assert other != one
    assert one != "a"


def test_a_record_has_the_answer_beside_what_was_asked(tmp_path: Path) -> None:
    file = tmp_path / "new" / "test.jsonl"
    moment = replace(MOMENTS[0], query="Schön.", novel=(("NOUN", "bed"),))
    write_predictions(file, [Prediction("a", ((1.0, 4.0, 0.5),))], [moment], "test_ood")
    assert "Schön" in file.read_text(encoding="utf-8")
    assert json.loads(file.read_text(encoding="utf-8")) == {
        "split": "test_ood",
        "query_id": "a",
        "video": "v1",
        "query": "Schön.",
        "duration": 10.0,
        "windows": [[1.0, 4.0]],
        "novel": [["NOUN", "bed"]],
        "predictions": [[1.0, 4.0, 0.5]],
    }


def read(tmp_path: Path, *lines: str, moments: list[Moment] = MOMENTS[:1]) -> list[Prediction]:
    file = tmp_path / "given.jsonl"
    file.write_text("\n".join(lines))
    return read_predictions(file, moments)


def test_windows_without_scores_are_in_order_and_others_by_their_score(tmp_path: Path) -> None:
    (answer,) = read(tmp_path, line("a", [[5, 6], [1, 2], [3, 3]]), "")
    assert answer.windows == ((5.0, 6.0, 0.0), (1.0, 2.0, -1.0), (3.0, 3.0, -2.0))
    (answer,) = read(tmp_path, line("a", [[5, 6, 0.1], [1, 2, 0.9], [3, 4, 0.9]]))
    assert answer.windows == ((1.0, 2.0, 0.9), (3.0, 4.0, 0.9), (5.0, 6.0, 0.1))


def test_an_id_may_be_a_number(tmp_path: Path) -> None:
    for key, windows in (("query_id", "predictions"), ("qid", "pred_relevant_windows")):
        (answer,) = read(
            tmp_path, json.dumps({key: 7, windows: [[0, 1, 1]]}), moments=[replace(MOMENTS[0], query_id="7")]
        )
        assert answer == Prediction("7", ((0.0, 1.0, 1.0),))


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ([0, 1, 1, 1], "is not [start, end]"),
        ([0], "is not [start, end]"),
        ({"0": 1}, "is not [start, end]"),
        (["0", 1], "is not [start, end]"),
        ([0, 2 * LONGEST], "is not in seconds"),
        ([-2 * LONGEST, 1], "is not in seconds"),
    ],
)
def test_what_is_no_window_is_refused(tmp_path: Path, window: Any, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, line("a", [[0, 1, 1], window]))
    assert expected in str(caught.value)
    # A score may be any number, and a time as far as it goes.
    assert read(tmp_path, line("a", [[-LONGEST, LONGEST, 2 * LONGEST]]))[0].windows[0][2] == 2 * LONGEST


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1]", "line 1: not a JSON record"),
        ('{"query_id": true, "predictions": [[0, 1]]}', "line 1: the query's id is True"),
        ('{"query_id": null, "predictions": [[0, 1]]}', "line 1: the query's id is None"),
        ('{"query_id": "a"}', "line 1: no predicted windows"),
        ('{"query_id": "a", "predictions": {}}', "line 1: no predicted windows"),
        ('{"results": []}', "results is not {video: [predictions]}"),
        ('{"results": {"v1": 3}}', "video v1: 0 predictions for 1 queries"),
        ('{"results": {"v1": [3]}}', "video v1: a prediction without timestamp"),
        ('{"results": {"v1": [{"sentence": "x"}]}}', "video v1: a prediction without timestamp"),
        ('{"results": {"v1": [{"timestamp": [0, 1]}, {"timestamp": [0, 1]}]}}', "2 predictions for 1 queries"),
        ('{"results": {"v1": [{"timestamp": []}]}}', "is not [start, end]"),
        ('{"results": {"v1": [{"timestamp": [[0, 1], 2]}]}}', "window 2 is not [start, end]"),
        ('{"results": {"v9": []}}', "lacks a prediction for 1 queries (a)"),
    ],
)
def test_a_record_of_another_shape_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, text)
    assert expected in str(caught.value)


def test_three_of_many_missing_queries_are_named(tmp_path: Path) -> None:
    moments = [replace(MOMENTS[0], query_id=name) for name in "abcdef"]
    for given, said in (("ab", "4 queries (c, d, e, …)"), ("abc", "3 queries (d, e, f)")):
        with pytest.raises(UserError) as caught:
            read(tmp_path, *(line(name, [[0, 1]]) for name in given), moments=moments)
        assert f"lacks a prediction for {said}" in str(caught.value)


def test_an_object_over_several_lines_is_activitynets(tmp_path: Path) -> None:
    # Case, punctuation and spaces of a sentence may differ, and one may be missing; a list may be of one window.
    results = {"v1": [{"sentence": "a PERSON, sits", "timestamp": [[1, 4]]}, {"timestamp": [[5, 8, 0.1], [0, 2, 0.7]]}]}
    answers = read(tmp_path, json.dumps({"results": results}, indent=2), moments=MOMENTS[:2])
    assert [answer.windows for answer in answers] == [((1.0, 4.0, 0.0),), ((0.0, 2.0, 0.7), (5.0, 8.0, 0.1))]


def test_saliency_is_of_all_queries_or_of_none() -> None:
    without, with_it = Prediction("a", ((0.0, 1.0, 1.0),)), Prediction("b", ((0.0, 1.0, 1.0),), (0.5,))
    for some in ([without, without], [with_it, with_it]):
        require_all_or_no_saliency(Path("x"), some)
    with pytest.raises(UserError, match=r"x: 1 of 2 queries have no saliency \(such as a\)"):
        require_all_or_no_saliency(Path("x"), [with_it, without])
