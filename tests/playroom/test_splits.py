"""What training has, and what it never has."""

from __future__ import annotations

import pytest

from src.playroom.language import NOVEL_PAIRS
from src.playroom.splits import OOD, Video, make_video
from src.text.tokens import words

COUNTS = {"train": 40, "val": 6, "test_iid": 6, "test_ood": 12, "novel_composition": 12, "novel_word": 8}


@pytest.fixture(scope="module")
def videos() -> list[Video]:
    return [make_video(3, split, number) for split, count in COUNTS.items() for number in range(count)]


def vocabulary(videos: list[Video], *splits: str) -> set[str]:
    return {word for video in videos if video.split in splits for query in video.queries for word in words(query.text)}


def test_moments_of_test_ood_lie_where_no_other_split_has_any(videos: list[Video]) -> None:
    for video in videos:
        for query in video.queries:
            assert 0 <= query.start < query.end <= video.duration
            inside = OOD[0] <= (query.start + query.end) / 2 / video.duration < OOD[1]
            # The annotation is rounded.
            edge = min(abs((query.start + query.end) / 2 / video.duration - border) for border in OOD) < 1e-3
            assert edge or inside == (video.split == "test_ood")


def test_each_query_of_novel_word_has_one_word_that_training_never_has(videos: list[Video]) -> None:
    known = vocabulary(videos, "train", "val", "test_iid", "test_ood", "novel_composition")
    for video in videos:
        for query in video.queries:
            assert len(query.novel) == (1 if video.split == "novel_word" else 0)
            for _, novel in query.novel:
                assert any(word.startswith(novel.removesuffix("e")) for word in words(query.text))
                assert not any(word == novel or word == f"{novel}s" for word in known)


def test_novel_compositions_are_of_known_words_and_never_in_training(videos: list[Video]) -> None:
    for video in videos:
        for query in video.queries:
            assert bool(query.pairs) == (video.split == "novel_composition")
            assert set(query.pairs) <= NOVEL_PAIRS
    assert vocabulary(videos, "novel_composition") <= vocabulary(videos, "train")


def test_every_video_has_a_query_and_few_of_what_happens_is_asked_for(videos: list[Video]) -> None:
    assert all(1 <= len(video.queries) <= 6 for video in videos)
    assert all(len({query.text for query in video.queries}) == len(video.queries) for video in videos)


def test_a_seed_always_gives_the_same_videos_and_another_seed_others() -> None:
    assert make_video(5, "train", 0) == make_video(5, "train", 0)
    assert make_video(5, "train", 0) != make_video(6, "train", 0)
