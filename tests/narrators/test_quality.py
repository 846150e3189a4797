"""The measures of narratives, on cases whose values can be counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from src.commands.narrate import narrate
from src.data.narratives import write_narratives
from src.data.records import Moment, Narratives
from src.errors import UserError
from src.narrators.quality import (
    Closeness,
    content_words,
    cosine,
    discriminability,
    ground,
    jaccard,
    mentions,
    variety,
    within,
)
from tests.compose import compose
from tests.synthetic import WORDS, write_charades_cd, write_glove, write_random_narratives


def _video(name: str, *texts: str) -> Narratives:
    return Narratives(name, tuple(float(n) for n in range(len(texts))), texts)


def _moment(query: str, video: str = "a", novel: tuple[tuple[str, str], ...] = ()) -> Moment:
    return Moment(query, video, query, ((1.0, 2.0),), 5.0, novel)


def test_variety() -> None:
    held = variety([_video("a", "A man sits.", "a Man sits", "A dog runs fast!"), _video("b", "A man sits.")])
    assert (held.videos, held.narratives, held.vocabulary) == (2, 4, 6)
    assert held.words == 13 / 4
    assert held.distinct_1 == 6 / 13
    # a man, man sits, a dog, dog runs, runs fast; of two for each short and three for the long one
    assert held.distinct_2 == 5 / 9
    # Two pairs of neighbours in a, none in b.
    assert held.repeated == 1 / 2


def test_variety_of_nothing() -> None:
    held = variety([_video("a", "...")])
    assert (held.narratives, held.words) == (1, 0)
    assert np.isnan(held.distinct_1)
    assert np.isnan(held.repeated)


def test_content_words_are_stems_of_what_is_seen() -> None:
    assert content_words("She isn't opening the doors, is she?") == ["open", "door"]
    assert content_words("It is what it is.") == []


def test_mentions_know_inflected_forms() -> None:
    said = mentions(_video("a", "A woman opens the door.", "She is smiling."))
    assert set(content_words("a woman opened doors and smiles")) <= said
    assert "dog" not in said


def test_grounding() -> None:
    moments = [
        _moment("A man opens a fridge.", novel=(("NOUN", "fridge"), ("v-n", "open fridge"))),
        _moment("The dog runs", novel=(("v-n", "run dog"),)),
    ]
    times = np.arange(5.0)
    closeness = [
        Closeness(moments[0], times, np.array([0, 1, 1, 0, 0.0])),
        Closeness(moments[1], times, np.array([1, 0, 0, 1, 1.0])),
        Closeness(_moment("dogs"), np.array([1.5]), np.array([0.3])),  # nothing outside
    ]
    row = ground("test", closeness, {"a": mentions(_video("a", "A man runs.", "Two dogs."))})
    assert (row.queries, row.placed, row.novel) == (3, 2, 3)
    # man, open, fridge; dog, run; dog
    assert row.mentioned == 4 / 6
    assert row.novel_mentioned == 1 / 3
    assert row.closer == pytest.approx((1 - 1) / 2)
    assert row.auc == pytest.approx(0.5)


def test_times_within_any_window() -> None:
    inside = within(np.array([0, 1, 2, 3, 4, 5.0]), [(1.0, 2.0), (3.5, 4.0)])
    assert inside.tolist() == [False, True, True, False, True, False]


def test_cosine_of_nothing_is_nothing() -> None:
    values = cosine(np.array([[3.0, 0], [0, 2], [0, 0]]), np.array([1.0, 0]))
    assert values.tolist() == [1, 0, 0]


@given(
    st.integers(2, 30).flatmap(
        lambda n: st.tuples(
            arrays.arrays(np.float64, n, elements=st.floats(-1, 1).map(lambda x: round(x, 1))),
            arrays.arrays(np.bool_, n),
        )
    )
)
def test_auc_is_the_share_of_pairs_in_order(case: tuple[np.ndarray, np.ndarray]) -> None:
    values, inside = case
    if inside.all() or not inside.any():
        return
    pairs = [float(a > b) + 0.5 * float(a == b) for a in values[inside] for b in values[~inside]]
    difference, auc = discriminability(values, inside)
    assert auc == pytest.approx(np.mean(pairs))
    assert difference == pytest.approx(values[inside].mean() - values[~inside].mean())


@given(st.sets(st.integers(0, 9)), st.sets(st.integers(0, 9)))
def test_jaccard(one: set[int], other: set[int]) -> None:
    assert 0 <= jaccard(one, other) == jaccard(other, one) <= 1
    assert (jaccard(one, other) == 1) == (one == other)


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    """A small Charades-CD with random narratives; the overrides that name them."""
    durations = write_charades_cd(tmp_path / "charades_cd")
    write_random_narratives(tmp_path / "stores" / "narratives" / "charades" / "llava_13b.jsonl", durations)
    write_glove(tmp_path / "glove" / "glove.840B.300d.txt", WORDS)
    return [f"paths.data={tmp_path}", f"paths.stores={tmp_path / 'stores'}", "report=true"]


def test_a_report_against_a_data_set(data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    narrate(compose("data=charades_cd", *data, config="narrate"))
    printed = capsys.readouterr().out
    written = json.loads((tmp_path / "stores" / "narratives" / "charades" / "llava_13b.report.json").read_text())
    assert written["narratives"]["vocabulary"] == len(set(WORDS))
    rows = {row["split"]: row for row in written["queries"]}
    assert list(rows) == ["train", "val", "test_iid", "test_ood", "all"]
    assert rows["all"]["queries"] == sum(row["queries"] for split, row in rows.items() if split != "all")
    # Twenty words, repeated for seconds: nearly all are mentioned, and where says nothing.
    assert rows["all"]["mentioned"] > 0.9
    assert 0.4 < rows["all"]["auc"] < 0.6
    assert rows["all"]["novel_mentioned"] is None
    assert "| test_ood |" in printed


def test_a_report_without_a_data_set(tmp_path: Path) -> None:
    file = tmp_path / "n.jsonl"
    write_narratives(file, [_video("a", "A man sits.")])
    narrate(compose(f"output={file}", "report=true", config="narrate"))
    written = json.loads((tmp_path / "n.report.json").read_text())
    assert written == {"narratives": written["narratives"]}
    assert written["narratives"]["words"] == 3


def test_what_a_report_lacks(data: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no narratives at"):
        narrate(compose(f"output={tmp_path / 'none.jsonl'}", "report=true", config="narrate"))
    other = tmp_path / "other.jsonl"
    write_narratives(other, [_video("elsewhere", "A man sits.")])
    with pytest.raises(UserError, match="narratives of none of the 24 videos"):
        narrate(compose("data=charades_cd", *data, f"output={other}", config="narrate"))
    (tmp_path / "glove" / "glove.840B.300d.txt").unlink()
    with pytest.raises(UserError, match="glove"):
        narrate(compose("data=charades_cd", *data, config="narrate"))
