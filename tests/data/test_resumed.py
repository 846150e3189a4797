"""An encoding that is broken off goes on where it was, and makes the store that one made in one go would be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from src.data.narratives import write_narratives
from src.data.records import Narratives
from src.data.store import Store
from src.data.text_stores import narrative_store
from src.text.encoder import Texts
from src.text.learned import Learned

TOLD = [Narratives(f"v{n}", (0.0, 1.0, 2.0), (f"a {n}", "the door", f"door {n}")) for n in range(4)]


class KilledError(Exception):
    """The power is gone."""


class Counting(Learned):
    """An encoder that is told after how many texts it is killed."""

    def __init__(self, most: int) -> None:
        super().__init__(8)
        self.most = most
        self.encoded: list[str] = []

    def sentences(self, texts: Texts) -> Iterator[NDArray[np.float32]]:
        assert len(texts) == len(list(texts))
        for text in texts:
            if len(self.encoded) == self.most:
                raise KilledError
            self.encoded.append(text)
            yield next(iter(super().sentences([text])))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_narratives(tmp_path / "n.jsonl", TOLD)
    return tmp_path / "n.jsonl"


def hidden(store: Path) -> list[Path]:
    return list(store.parent.glob(".*vectors"))


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=st.lists(st.integers(0, 12), max_size=3), torn=st.integers(0, 20), zeros=st.integers(0, 40))
def test_what_was_encoded_is_not_encoded_again(
    file: Path, tmp_path: Path, kills: list[int], torn: int, zeros: int
) -> None:
    whole = narrative_store(tmp_path / "whole.h5", Counting(99), file, ["v0"])
    store = tmp_path / "broken.h5"
    store.unlink(missing_ok=True)
    for most in kills:
        with suppress(KilledError):
            narrative_store(store, Counting(most), file, ["v0"])
    assume(not store.exists())
    # A vector may be written in part, and after a power cut there may be zeros in its place.
    kept = 0
    for left in hidden(store):
        content = left.read_bytes()[: max(left.stat().st_size - torn, 0)]
        kept = max(len(content) - 8, 0) // 16
        left.write_bytes(content + bytes(zeros))
    last = Counting(99)
    narrative_store(store, last, file, ["v0"])
    assert 12 - kept <= len(last.encoded) <= 12 - kept + 1
    assert not hidden(store)
    for video in whole:
        np.testing.assert_array_equal(Store(store, ("times",))[video]["features"], whole[video]["features"])


def test_vectors_of_another_file_are_not_taken(file: Path, tmp_path: Path) -> None:
    store = tmp_path / "s.h5"
    with pytest.raises(KilledError):
        narrative_store(store, Counting(5), file, ["v0"])
    write_narratives(file, TOLD[::-1])
    other = Counting(99)
    narrative_store(store, other, file, ["v0"])
    assert len(other.encoded) == 12
    assert not hidden(store)


def test_two_at_once_both_make_the_store(file: Path, tmp_path: Path) -> None:
    store = tmp_path / "s.h5"

    class During(Counting):
        def sentences(self, texts: Texts) -> Iterator[NDArray[np.float32]]:
            narrative_store(store, Counting(99), file, ["v0"])
            return super().sentences(texts)

    narrative_store(store, During(99), file, ["v0"])
    assert len(Store(store, ("times",))) == 4
