"""The rules for moments that do not fit their video, on small files."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from src.data.splits import load_split
from src.errors import UserError
from tests.compose import data_config


# Small files in the layout of ActivityNet-Captions, whose val_2 is a test split.
def write(folder: Path, **splits: dict[str, Any]) -> None:
    (folder / "activitynet").mkdir(exist_ok=True)
    for name, record in splits.items():
        (folder / "activitynet" / f"{name}.json").write_text(json.dumps({"v": record}))


def record(*timestamps: list[float]) -> dict[str, Any]:
    sentences = [f"sentence {index}" for index in range(len(timestamps))]
    return {"duration": 10.0, "timestamps": list(timestamps), "sentences": sentences}


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    odd = record([1, 2], [5, 3], [8, 14], [-2, 4], [6, 6], [10, 12])
    write(tmp_path, train=odd, val_1=odd, val_2=odd)
    return tmp_path


@pytest.mark.parametrize("split", ["train", "val_1"])
def test_odd_moments_are_swapped_clipped_or_left_out_where_learned(odd: Path, split: str) -> None:
    read = load_split(data_config("anet", odd), split)
    assert [moment.windows for moment in read.moments] == [((1, 2),), ((3, 5),), ((8, 10),), ((0, 4),)]
    assert [moment.query_id for moment in read.moments] == ["v/0", "v/1", "v/2", "v/3"]
    report = read.findings
    assert (report.read, report.videos) == (6, 1)
    assert (report.swapped, report.clipped, report.dropped, report.skipped) == (1, 3, 2, 2)
    assert (report.overlong, report.unreachable) == (0, 0)


def test_a_test_split_keeps_every_query(odd: Path) -> None:
    read = load_split(data_config("anet", odd), "val_2")
    expected = [((1, 2),), ((3, 5),), ((8, 10),), ((0, 4),), ((6, 6),), ((10, 10),)]
    assert [moment.windows for moment in read.moments] == expected
    assert (read.findings.clipped, read.findings.unreachable, read.findings.skipped) == (3, 2, 0)


def test_a_moment_outside_its_video_has_no_length_at_the_nearer_end(tmp_path: Path) -> None:
    write(tmp_path, val_2=record([11, 12], [-3, -1], [14, 11]), train=record([1, 2], [11, 12]))
    read = load_split(data_config("anet", tmp_path), "val_2")
    assert [moment.windows for moment in read.moments] == [((10, 10),), ((0, 0),), ((10, 10),)]
    assert (read.findings.clipped, read.findings.swapped, read.findings.unreachable) == (3, 1, 3)
    assert [moment.windows for moment in load_split(data_config("anet", tmp_path), "train").moments] == [((1, 2),)]


def test_a_test_split_can_be_scored_as_annotated(odd: Path) -> None:
    data = data_config("anet", odd, "data.scored_as=annotated")
    expected = [((1, 2),), ((3, 5),), ((8, 14),), ((-2, 4),), ((6, 6),), ((10, 12),)]
    read = load_split(data, "val_2")
    assert [moment.windows for moment in read.moments] == expected
    assert (read.findings.clipped, read.findings.overlong, read.findings.unreachable) == (0, 3, 2)
    assert load_split(data, "train").findings.overlong == 0


def test_nothing_hits_a_moment_that_is_scored_as_annotated_and_lies_beside_its_video(tmp_path: Path) -> None:
    write(tmp_path, val_2=record([11, 12], [-0.9, -0.5], [9, 11]))
    read = load_split(data_config("anet", tmp_path, "data.scored_as=annotated"), "val_2")
    assert [moment.windows for moment in read.moments] == [((11, 12),), ((-0.9, -0.5),), ((9, 11),)]
    assert (read.findings.overlong, read.findings.unreachable) == (3, 2)


def test_rounding_is_clipped_without_being_counted(tmp_path: Path) -> None:
    write(tmp_path, train=record([1, 10.0000001]))
    read = load_split(data_config("anet", tmp_path), "train")
    assert read.moments[0].windows == ((1, 10),)
    assert read.findings.clipped == 0
    # A thousandth of a second is rounding, two are not.
    write(tmp_path, train=record([-0.0009, 10.0009], [-0.002, 5], [5, 10.002]))
    read = load_split(data_config("anet", tmp_path), "train")
    assert [moment.windows for moment in read.moments] == [((0, 10),), ((0, 5),), ((5, 10),)]
    assert read.findings.clipped == 2


def test_one_line_is_logged_for_a_split(odd: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        load_split(data_config("anet", odd), "train")
    assert caplog.messages == [
        "anet train: 6 queries of 1 videos; moments: 1 reversed (ends swapped), 3 reaching outside their video"
        " (clipped to it), 2 without length inside their video (left out); queries skipped as none of their moments"
        " remained: 2"
    ]


def test_a_query_is_kept_while_one_of_its_windows_is(tmp_path: Path) -> None:
    (tmp_path / "qvhighlights").mkdir()
    lines = [
        {
            "qid": number,
            "query": "a",
            "duration": 150,
            "vid": f"source{number}_0_150",
            "relevant_windows": [[2, 4], [4, 4]],
            "relevant_clip_ids": [],
            "saliency_scores": [],
        }
        for number in range(20)
    ]
    file = tmp_path / "qvhighlights" / "highlight_val_release.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    read = load_split(data_config("qvhighlights_folds", tmp_path), "train")
    assert {moment.windows for moment in read.moments} == {((2.0, 4.0),)}
    assert (read.findings.dropped, read.findings.skipped) == (len(read.moments), 0)


def write_qvhighlights(folder: Path, answered: dict[str, list[bool]]) -> None:
    """The files of some splits; for each query whether its answer is in it."""
    (folder / "qvhighlights").mkdir(exist_ok=True)
    answer = {"relevant_windows": [[2, 4]], "relevant_clip_ids": [1], "saliency_scores": [[4, 3, 2]]}
    for split, there in answered.items():
        lines = [
            {"qid": number, "query": "a", "duration": 20, "vid": f"s{number}_0_20"} | (answer if known else {})
            for number, known in enumerate(there)
        ]
        file = folder / "qvhighlights" / f"highlight_{split}_release.jsonl"
        file.write_text("\n".join(map(json.dumps, lines)))


def test_a_test_split_and_no_other_may_be_without_answers(tmp_path: Path) -> None:
    write_qvhighlights(tmp_path, {"test": [False, False], "train": [True, False], "val": [True]})
    data = data_config("qvhighlights", tmp_path)
    read = load_split(data, "test")
    assert [moment.windows for moment in read.moments] == [(), ()]
    assert str(read.findings) == "2 queries of 2 videos; without answers, so that nothing is scored: 2"
    assert load_split(data, "val").findings.unanswered == 0
    write_qvhighlights(tmp_path, {"test": [False] * 300})
    assert load_split(data, "test").findings.unanswered == 300
    said = "highlight_train_release.jsonl:2: the query has no answer, and so have 0 more of qvhighlights, split train"
    assert said in error(data, "train")
    write_qvhighlights(tmp_path, {"test": [True, False, False]})
    assert "test_release.jsonl:2: the query has no answer, and so have 1 more" in error(data, "test")


def error(data: DictConfig, split: str) -> str:
    with pytest.raises(UserError) as caught:
        load_split(data, split)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_file_says_where_it_comes_from_and_goes(tmp_path: Path) -> None:
    for name, files in {
        "charades_sta": ["charades_sta/charades.json"],
        "charades_cd": ["charades_cd/charades_train.json"],
        "charades_cg": ["charades_cg/train.json"],
        "anet": ["activitynet/train.json"],
        "anet_cd": ["activitynet_cd/anet_val.json"],
        "anet_cg": ["activitynet_cg/train.json"],
        "tacos": ["tacos/train.json"],
        "qvhighlights": ["qvhighlights/highlight_train_release.jsonl"],
        "qvhighlights_folds": ["qvhighlights/highlight_val_release.jsonl"],
    }.items():
        data = data_config(name, tmp_path)
        message = error(data, "train")
        assert str(tmp_path / files[0]) in message
        assert message.startswith(data.title)
        assert data.source in message
        assert "https://" in data.source
        assert "paths.data" in message


def test_an_unknown_split_names_those_there_are(tmp_path: Path) -> None:
    message = error(data_config("charades_cd", tmp_path), "test")
    assert message == "charades_cd has no split 'test': it has train, val, test_iid, test_ood"


def test_an_unknown_way_to_score_is_an_error(odd: Path) -> None:
    assert "give clipped or annotated" in error(data_config("anet", odd, "data.scored_as=asis"), "val_2")


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "activitynet").mkdir()
    (tmp_path / "activitynet" / "train.json").write_text("{}")
    assert "hold no query" in error(data_config("anet", tmp_path), "train")


def test_a_query_id_given_twice_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "qvhighlights").mkdir()
    line = {
        "qid": 4,
        "query": "a",
        "duration": 150,
        "relevant_windows": [[2, 4]],
        "relevant_clip_ids": [],
        "saliency_scores": [],
    }
    file = tmp_path / "qvhighlights" / "highlight_val_release.jsonl"
    file.write_text("\n".join(json.dumps(line | {"vid": f"source{number}_0_150"}) for number in range(20)))
    message = error(data_config("qvhighlights_folds", tmp_path), "train")
    assert "query id 4 was already given at" in message
    assert "highlight_val_release.jsonl:" in message
