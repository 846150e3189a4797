"""Every public split has its published size, and moments that do not fit their video meet the stated rules."""

from __future__ import annotations

import json
import logging
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from src.data.annotations.qvhighlights import source
from src.data.splits import Split, load_split, split_names
from src.errors import UserError
from src.moments import seconds_to_snippets
from tests.compose import CONF, data_config

# Queries and, where they are published, videos of each split of the real files.
PUBLISHED: dict[str, dict[str, tuple[int, int | None]]] = {
    "charades_sta": {"train": (11_154, 4_804), "val": (1_254, 534), "test": (3_720, 1_334)},
    "charades_cd": {
        "train": (11_071, 4_564),
        "val": (859, 333),
        "test_iid": (823, 333),
        "test_ood": (3_375, 1_442),
    },
    "charades_cg": {
        "train": (7_436, 3_199),
        "val": (845, 356),
        "test_trivial": (3_096, None),
        "novel_composition": (3_442, None),
        "novel_word": (695, None),
    },
    "anet": {"train": (37_421, 10_009), "val_1": (17_505, 4_917), "val_2": (17_031, 4_885)},
    "anet_cd": {
        "train": (51_415, 10_984),
        "val": (3_521, 746),
        "test_iid": (3_443, 746),
        "test_ood": (13_578, 2_450),
    },
    "anet_cg": {
        "train": (32_994, 8_693),
        "val": (3_730, 966),
        "test_trivial": (15_712, None),
        "novel_composition": (12_028, None),
        "novel_word": (3_920, None),
    },
    "tacos": {"train": (9_790, 75), "val": (4_436, 27), "test": (4_001, 25)},
    "qvhighlights": {"train": (1_125, 1_100), "val": (119, 119), "test": (306, 300)},
}


@cache
def real(folder: Path, name: str) -> dict[str, Split]:
    data = data_config(name, folder)
    return {split: load_split(data, split) for split in split_names(data)}


def test_every_data_set_is_covered() -> None:
    assert {path.stem for path in (CONF / "data").glob("*.yaml")} >= set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_splits_have_their_published_size(shared: Path, name: str) -> None:
    splits = real(shared / "data", name)
    for split, (queries, videos) in PUBLISHED[name].items():
        assert splits[split].findings.read == queries
        assert videos is None or splits[split].findings.videos == videos
        assert len(splits[split].moments) == queries - splits[split].findings.skipped
    assert list(splits) == list(PUBLISHED[name])


@pytest.mark.parametrize("name", PUBLISHED)
def test_moments_of_real_files_keep_the_contract(shared: Path, name: str) -> None:
    data = data_config(name, shared / "data")
    for split in real(shared / "data", name).values():
        is_test = split.name in data.tests
        assert not (is_test and split.findings.skipped)
        assert len({moment.query_id for moment in split.moments}) == len(split.moments)
        for moment in split.moments:
            assert moment.query == moment.query.strip() != ""
            for start, end in moment.windows:
                assert 0 <= start <= end if is_test else 0 <= start < end
                assert end <= moment.duration or (is_test and data.scored_as == "annotated")
                first, last = seconds_to_snippets((start, end), 128, moment.duration)
                assert 0 <= first <= last < 128


@pytest.mark.parametrize("name", ["charades_sta", "charades_cg", "anet_cg", "charades_cd", "anet_cd", "tacos"])
def test_no_video_is_both_learned_and_tested(shared: Path, name: str) -> None:
    data = data_config(name, shared / "data")
    videos = {split: {moment.video for moment in each.moments} for split, each in real(shared / "data", name).items()}
    assert not videos[data.train] & videos[data.val]
    assert not any((videos[data.train] | videos[data.val]) & videos[test] for test in data.tests)


def test_made_validation_splits_come_out_of_training(shared: Path) -> None:
    sta, cg, anet_cg = (real(shared / "data", name) for name in ("charades_sta", "charades_cg", "anet_cg"))
    for splits, queries in ((sta, 12_408), (cg, 8_281), (anet_cg, 36_724)):
        assert splits["train"].findings.read + splits["val"].findings.read == queries
    larger = load_split(data_config("charades_sta", shared / "data", "data.validation.size=0.2"), "val")
    assert larger.findings.videos == 1_068
    other = load_split(data_config("charades_sta", shared / "data", "data.validation.seed=1"), "val")
    assert {moment.video for moment in other.moments} != {moment.video for moment in sta["val"].moments}


@pytest.mark.slow
def test_folds_of_qvhighlights_share_no_source(shared: Path) -> None:
    tested: list[str] = []
    for fold in range(3):
        data = data_config("qvhighlights", shared / "data", "data.folds=3", f"data.fold={fold}")
        splits = [load_split(data, name) for name in split_names(data)]
        sources = [{source(moment.video) for moment in split.moments} for split in splits]
        assert sum(map(len, sources)) == len(set.union(*sources)) == 474
        tested += [moment.query_id for moment in splits[2].moments]
    assert len(tested) == len(set(tested)) == 1_550


def test_novel_splits_say_what_is_novel(shared: Path) -> None:
    for name in ("charades_cg", "anet_cg"):
        splits = real(shared / "data", name)
        for split in ("novel_word", "novel_composition"):
            assert all(moment.novel for moment in splits[split].moments)
        assert {moment.novel for moment in splits["test_trivial"].moments} == {()}
    words = {text for moment in real(shared / "data", "charades_cg")["novel_word"].moments for _, text in moment.novel}
    assert "soup" in words


def test_activitynet_has_the_size_of_the_papers_table_1(shared: Path) -> None:
    splits = real(shared / "data", "anet").values()
    durations = {moment.video: moment.duration for split in splits for moment in split.moments}
    assert (len(durations), sum(split.findings.read for split in splits)) == (14_926, 71_957)
    assert round(sum(durations.values()) / len(durations), 1) == 117.6


def test_what_was_found_in_the_real_files(shared: Path) -> None:
    sta = real(shared / "data", "charades_sta")
    assert sum(split.findings.clipped for split in sta.values()) == 2_364
    anet = real(shared / "data", "anet")["train"].findings
    assert (anet.swapped, anet.dropped, anet.skipped) == (2, 2, 2)
    ood = real(shared / "data", "charades_cd")["test_ood"].findings
    assert (ood.overlong, ood.unreachable, ood.clipped, ood.skipped) == (348, 3, 0, 0)


# Small files in the layout of ActivityNet-Captions, whose val_2 is a test split.
def write(folder: Path, **splits: dict[str, Any]) -> None:
    (folder / "activitynet").mkdir()
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
    read = load_split(data_config("qvhighlights", tmp_path), "train")
    assert {moment.windows for moment in read.moments} == {((2.0, 4.0),)}
    assert (read.findings.dropped, read.findings.skipped) == (len(read.moments), 0)


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
        "qvhighlights": ["qvhighlights/highlight_val_release.jsonl"],
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
    message = error(data_config("qvhighlights", tmp_path), "train")
    assert "query id 4 was already given at" in message
    assert "highlight_val_release.jsonl:" in message
