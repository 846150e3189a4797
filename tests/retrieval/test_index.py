"""An index keeps what it was given, whoever kills its writer, and answers with the windows that match best."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.errors import UserError
from src.retrieval.exact import ExactIndex
from src.retrieval.index import Entry, Index, Question
from src.retrieval.windows import LONGEST, spans, step_of, windows

DIM = 8
PROJECT = Path(__file__).parents[2]


def entry(video: str, count: int = 4, seed: int = 0, word: str = "door") -> Entry:
    rows = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    texts = [f"a {word} at {number}" for number in range(count)]
    return Entry(video, f"{seed}/{count}/{word}", np.arange(count, dtype=np.float64), texts, rows)


def index(folder: Path, made_by: str = "a test") -> ExactIndex:
    return ExactIndex(folder / "index", {"by": made_by}, DIM)


def lance(folder: Path, made_by: str = "a test", **settings: Any) -> Index:
    """The same by LanceDB."""
    pytest.importorskip("lancedb")
    from src.retrieval.lance import LanceIndex

    given = {"place": None, "storage": {}, "rows": 1000, "probes": 50, "least": 100_000, **settings}
    return LanceIndex(folder / "lance", {"by": made_by}, DIM, **given)


Opened = Callable[..., Index]


@pytest.fixture(params=[index, lance], ids=["exact", "lance"])
def opened(request: pytest.FixtureRequest) -> Opened:
    """Opens an index of either engine in a folder."""
    found: Opened = request.param
    return found


def asked(of: Entry, row: int = 0, sentence: str = "nothing said") -> Question:
    return Question(sentence, of.vectors[row])


def test_the_window_with_the_vector_is_found_and_is_whole(opened: Opened, tmp_path: Path) -> None:
    every = [entry(f"v{number}", 3 + number, number) for number in range(9)]
    kept = opened(tmp_path)
    kept.add(every)
    for one in every:
        first = max(kept.candidates([asked(one, 2)], 9)[0], key=lambda each: each.cosines.max())
        assert first.video == one.video
        np.testing.assert_allclose(first.vectors, one.vectors, atol=1e-3)
        np.testing.assert_allclose(first.cosines, one.vectors @ one.vectors[2], atol=1e-3)
        assert first.spans.tolist() == [[n, n + 1] for n in range(len(one.times))]


def test_rewordings_are_compared_as_the_sentence_is(opened: Opened, tmp_path: Path) -> None:
    every = [entry(f"v{number}", seed=number) for number in range(5)]
    kept = opened(tmp_path)
    kept.add(every)
    meant = every[3].vectors[1]
    question = Question("nothing said", every[0].vectors[0], np.stack((meant, meant)))
    first = max(kept.candidates([question], 5)[0], key=lambda each: each.cosines.max())
    assert first.video == "v3"
    cosines = every[3].vectors @ np.stack((question.vector, meant, meant)).T
    np.testing.assert_allclose(first.cosines, cosines.mean(axis=1), atol=1e-3)


def test_words_decide_where_vectors_are_alike(opened: Opened, tmp_path: Path) -> None:
    same = entry("a").vectors
    kept = opened(tmp_path)
    kept.add(entry(name, word=word)._replace(vectors=same) for name, word in (("a", "doors"), ("b", "kettle")))
    first, second = kept.candidates([asked(entry("a"), sentence="He opens a DOOR!")], 2)[0]
    assert first.video == "a"
    assert 0 <= second.words < first.words <= 1
    foreign = kept.candidates([asked(entry("a"), sentence="开门 ouvre-moi 🚪")], 2)[0]
    assert [each.words for each in foreign] == [0, 0]


def test_videos_are_added_replaced_and_removed(opened: Opened, tmp_path: Path) -> None:
    kept = opened(tmp_path)
    kept.add([entry("a"), entry("b", seed=1)])
    kept.add([entry("a", 6, seed=2, word="lamp")])
    assert kept.digests() == {"a": "2/6/lamp", "b": "1/4/door"}
    told = kept.told("a")
    assert told is not None
    assert len(told.texts) == len(told.times) == len(told.vectors) == 6
    kept.remove(["b", "unknown"])
    assert list(kept.digests()) == ["a"]
    assert kept.told("b") is None
    assert [each.video for each in kept.candidates([asked(entry("b", seed=1))], 9)[0]] == ["a"]
    assert kept.candidates([asked(entry("a"))], 9, video="b") == [[]]


def test_room_of_removed_videos_is_given_back_while_others_read(tmp_path: Path) -> None:
    kept, reader = index(tmp_path), index(tmp_path)
    kept.add(entry(f"v{number}", 50, number) for number in range(8))
    last = entry("v7", 50, 7)
    before = reader.candidates([asked(last)], 1, video="v7")[0][0].vectors
    kept.remove([f"v{number}" for number in range(7)])
    files = list((tmp_path / "index").glob("vectors-*"))
    assert [file.stat().st_size for file in files] == [50 * DIM * 4]
    np.testing.assert_allclose(before, last.vectors)
    np.testing.assert_allclose(reader.candidates([asked(last)], 1)[0][0].vectors, last.vectors)


def test_one_made_with_another_encoder_or_damaged_is_made_anew(tmp_path: Path) -> None:
    index(tmp_path).add([entry("a")])
    assert index(tmp_path).digests()
    assert not index(tmp_path, "another").digests()
    index(tmp_path, "another").add([entry("a")])
    (tmp_path / "index" / "vectors-0.f32").write_bytes(b"short")
    assert not index(tmp_path, "another").digests()
    (tmp_path / "index" / "videos.sqlite").write_bytes(b"no database" * 100)
    assert not index(tmp_path).digests()


def test_what_is_damaged_while_it_is_open_is_said_in_one_line(tmp_path: Path) -> None:
    kept = index(tmp_path)
    kept.add([entry("a")])
    with sqlite3.connect(tmp_path / "index" / "videos.sqlite") as database:
        database.execute("DROP TABLE videos")
    with pytest.raises(UserError, match="is damaged"):
        kept.digests()


def test_what_a_killed_writer_had_appended_is_written_over(tmp_path: Path) -> None:
    kept = index(tmp_path)
    kept.add([entry("a")])
    file = tmp_path / "index" / "vectors-0.f32"
    with file.open("ab") as torn:
        torn.write(b"half a vec")
    kept.add([entry("b", seed=1)])
    assert file.stat().st_size == 8 * DIM * 4
    (own,) = kept.candidates([asked(entry("b", seed=1))], 1, video="b")[0]
    np.testing.assert_allclose(own.vectors, entry("b", seed=1).vectors)


def test_two_writers_and_a_reader(opened: Opened, tmp_path: Path) -> None:
    def write(name: str) -> None:
        kept = opened(tmp_path)
        for number in range(6):
            kept.add([entry(f"{name}{number}", seed=number)])

    writers = [threading.Thread(target=write, args=(name,)) for name in ("a", "b")]
    reader = opened(tmp_path)
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        for candidate in reader.candidates([asked(entry("a"))], 30)[0]:
            assert len(candidate.vectors) == 4
    assert len(reader.digests()) == 12


_WRITER = """
import sys
from pathlib import Path
from tests.retrieval.test_index import entry, index
kept = index(Path(sys.argv[1]))
for number in range(int(sys.argv[2]), 100000):
    kept.add([entry(f"v{number}", 5, number)])
    print(number, flush=True)
    if number % 2:
        kept.remove([f"v{number}"])
        print(-number, flush=True)
"""


def _killed(folder: Path, start: int, after: int) -> list[int]:
    """What a writer had said to be done when it was killed: a video's number when added, −number when removed."""
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(folder), str(start)], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    said = [writer.stdout.readline() for _ in range(after)]
    writer.send_signal(signal.SIGKILL)
    said += writer.stdout.read().split("\n")
    writer.wait()
    return [int(line) for line in said if line.strip()]


@pytest.mark.slow
def test_twenty_five_kills_lose_no_video(tmp_path: Path) -> None:
    moments = random.Random(0)
    done: list[int] = []
    for _ in range(25):
        done += _killed(tmp_path, 1 + max(map(abs, done), default=0), moments.randint(1, 9))
        kept = index(tmp_path)
        there = {int(video[1:]) for video in kept.digests()}
        removed = {-number for number in done if number < 0}
        added = {number for number in done if number > 0} - removed
        # The last video may be there and not be said yet, or be removed and not be said yet.
        assert there - added <= {max(map(abs, done)) + 1}
        assert added - there <= {max(map(abs, done))}
        for number in there:
            one = entry(f"v{number}", 5, number)
            (own,) = kept.candidates([asked(one, 3)], 1, video=one.video)[0]
            np.testing.assert_allclose(own.vectors, one.vectors)


def test_lance_forgets_what_a_killed_writer_had_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = lance(tmp_path)
    kept.add([entry("a")])
    marks = "src.retrieval.lance.secrets.token_hex"
    real = kept._table  # type: ignore[attr-defined]

    def dies(name: str) -> Any:
        if name == "videos":
            raise KeyboardInterrupt
        return real(name)

    monkeypatch.setattr(marks, lambda count: "of a writer that is killed")
    monkeypatch.setattr(kept, "_table", dies)
    with pytest.raises(KeyboardInterrupt):
        kept.add([entry("b", seed=1)])
    monkeypatch.undo()
    again = lance(tmp_path)
    assert list(again.digests()) == ["a"]
    assert {each.video for each in again.candidates([asked(entry("b", seed=1))], 9)[0]} == {"a"}
    again.add([entry("c", seed=2)])
    rows = again._table("narratives").count_rows()  # type: ignore[attr-defined]
    assert rows == 8


@pytest.mark.parametrize("least", [1000, 100_000], ids=["in parts of their index", "one by one"])
def test_lance_finds_the_nearest_of_many(tmp_path: Path, least: int) -> None:
    kept = lance(tmp_path, least=least, rows=100, probes=7)
    every = [entry(f"v{number}", 30, number) for number in range(120)]
    kept.add(every)
    # Of half the length, as the mean of a sentence and its rewordings may be.
    sought = every[7].vectors[3] / 2
    products = {(one.video, row): float(one.vectors[row] @ sought) for one in every for row in range(30)}
    nearest = set(sorted(products, key=lambda each: -products[each])[:100])
    found = {(video, row): product for (video, _, row), product in kept.nearest(sought).items()}  # type: ignore[attr-defined]
    assert len(nearest & set(found)) >= 90
    assert found == pytest.approx({each: products[each] for each in found}, abs=0.01)


@given(st.integers(1, 400))
def test_windows_cover_all_and_are_bounded(count: int) -> None:
    cut = windows(count)
    assert {row for first, end in cut for row in range(first, end)} == set(range(count))
    assert all(0 < end - first <= LONGEST for first, end in cut)
    assert len(cut) == 1 or all(end - first == LONGEST for first, end in cut)


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=30, unique=True))
def test_spans_hold_their_times_and_do_not_overlap(times: list[float]) -> None:
    ordered = np.array(sorted(times))
    found = spans(ordered, step_of(ordered))
    tolerance = 0.06 * step_of(ordered) + 1e-6
    assert (found[:, 0] <= ordered + tolerance).all()
    assert (found[:, 1] >= ordered - tolerance).all()
    assert (found[1:, 0] >= found[:-1, 1] - 2 * tolerance).all()
    assert (found >= -tolerance).all()
