"""Records that grow by a key: nothing that was written is lost, done twice, or mixed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.errors import UserError
from src.growing import Journal

WRITER = {"model": "m", "sizes": (1, 2)}


def journal(path: Path, retry_failed: bool = False, **changes: object) -> Journal:
    return Journal(path, "query", WRITER | changes, retry_failed)


def test_a_second_run_knows_what_the_first_did(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "r.jsonl"
    with journal(path) as first:
        first.append("a – schön", said="x")
        assert json.loads(path.read_text(encoding="utf-8"))["said"] == "x"
        first.fail("b", "no")
        first.fail("c", "no")
    with journal(path) as second:
        assert (second.done.keys(), second.failed) == ({"a – schön"}, {"b": "no", "c": "no"})
        second.append("b", said="y")
    with journal(path) as third:
        assert third.failed == {"c": "no"}
    with journal(path, retry_failed=True) as fourth:
        assert (len(fourth.done), fourth.failed) == (2, {})


@given(lost=st.integers(1, 10_000))
def test_a_torn_record_is_made_again(lost: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("torn") / "r.jsonl"
    with journal(path) as first:
        first.append("a", said="x")
        whole = path.read_bytes()
        first.append("b", said="y")
    both = path.read_bytes()
    path.write_bytes(whole + both[len(whole) :][: max(len(both) - len(whole) - lost, 0)])
    with journal(path) as second:
        assert second.done.keys() == {"a"}
        second.append("b", said="y")
    assert path.read_bytes() == both


def test_records_of_other_settings_are_never_mixed(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with journal(path) as first:
        first.append("a", said="x")
        with pytest.raises(UserError, match="another run is writing"):
            journal(path)
    with pytest.raises(UserError, match=r"written with other settings .*model 'm' and 'n'"):
        journal(path, model="n")
    with journal(path) as again:
        assert again.done.keys() == {"a"}


@pytest.mark.parametrize("line", ["[1]", "{}", '{"query": 3}', "{", "null"])
def test_a_damaged_record_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(f"{line}\n")
    with pytest.raises(UserError, match="line 1"):
        journal(path)
