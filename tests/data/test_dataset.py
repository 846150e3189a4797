"""Every public split has its published size, and moments that do not fit their video meet the stated rules."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from src.data.annotations.qvhighlights import source
from src.data.splits import Split, load_split, split_names
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
    "qvhighlights": {"train": (7_218, 7_100), "val": (1_550, 1_519), "test": (1_542, 1_529)},
    "qvhighlights_folds": {"train": (1_125, 1_100), "val": (119, 119), "test": (306, 300)},
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
        data = data_config("qvhighlights_folds", shared / "data", "data.folds=3", f"data.fold={fold}")
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
