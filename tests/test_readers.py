"""Whatever a file holds, its reader gives what is right or says in one line what is wrong with it, and where."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.errors import UserError
from tests.readers import ARRAYS, TEXTS, Reader, beside, hdf5

BINARY = ARRAYS | hdf5(Path(tempfile.mkdtemp(prefix="readers")))
EVERY = TEXTS | BINARY
JSON = {name: reader for name, reader in TEXTS.items() if not isinstance(reader.content, bytes)}


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("files")
    beside(place)
    return place


def refused(reader: Reader, folder: Path, content: bytes) -> str | None:
    """What is said of a file of this content; None if it was read."""
    path = folder / reader.name
    path.write_bytes(content)
    try:
        reader.read(path)
    except UserError as error:
        message = str(error)
        assert message
        assert "\n" not in message
        assert len(message) < 1000
        assert str(folder) in message
        return message
    finally:
        for left in folder.iterdir():
            assert not left.name.endswith(".part")
        path.unlink()
    return None


def wrong(reader: Reader, folder: Path, content: bytes) -> str:
    message = refused(reader, folder, content)
    assert message is not None, content[:200]
    return message


@pytest.mark.parametrize("name", EVERY)
def test_what_is_right_is_read(folder: Path, name: str) -> None:
    assert refused(EVERY[name], folder, EVERY[name].good) is None


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=15)
@given(content=st.binary(max_size=200))
def test_random_bytes(name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        beside(Path(place))
        refused(EVERY[name], Path(place), content)


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=25)
@given(data=st.data())
def test_a_file_that_was_half_copied_or_has_wrong_bytes(name: str, data: st.DataObject) -> None:
    reader = EVERY[name]
    good = reader.good
    place = data.draw(st.integers(0, len(good) - 1))
    cut = good[:place]
    changed = good[:place] + data.draw(st.binary(min_size=1, max_size=8)) + good[place + 8 :]
    with tempfile.TemporaryDirectory() as folder:
        beside(Path(folder))
        for content in (cut, changed):
            refused(reader, Path(folder), content)


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -(10**400), 2**63, 1e308, -1e308, 0, -1, 1e-320]),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(
        ["", " ", "\ud800", "a\udfffb", "\0", "a\0", "../../x", "/etc/passwd", "x" * 300, "\n", "nan", "1e999"]
    ),
    st.lists(st.integers() | st.floats() | st.none(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers() | st.none(), max_size=2),
)


def paths(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where there is something in a value of JSON."""
    yield above
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*above, key))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from paths(inner, (*above, number))


def replaced(value: Any, path: tuple[Any, ...], leaf: Any) -> Any:
    if not path:
        return leaf
    changed = json.loads(json.dumps(value))
    node = changed
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = leaf
    return changed


@pytest.mark.parametrize("name", JSON)
@settings(max_examples=60)
@given(data=st.data())
def test_json_of_the_right_shape_with_a_wrong_leaf(name: str, data: st.DataObject) -> None:
    reader = JSON[name]
    within = [path for path in paths(reader.content) if path or not reader.name.endswith(".jsonl")]
    path, leaf = data.draw(st.sampled_from(within)), data.draw(LEAVES)
    with tempfile.TemporaryDirectory() as folder:
        beside(Path(folder))
        refused(reader, Path(folder), reader.encoded(replaced(reader.content, path, leaf)))


@pytest.mark.parametrize("name", JSON)
@settings(max_examples=20)
@given(data=st.data())
def test_json_that_lacks_a_part(name: str, data: st.DataObject) -> None:
    reader = JSON[name]
    *above, last = data.draw(st.sampled_from([path for path in paths(reader.content) if path]))
    changed = json.loads(json.dumps(reader.content))
    node = changed
    for key in above:
        node = node[key]
    del node[last]
    with tempfile.TemporaryDirectory() as folder:
        beside(Path(folder))
        refused(reader, Path(folder), reader.encoded(changed))


def first_leaf(content: Any) -> tuple[Any, ...]:
    return next(path for path in paths(content) if path and not isinstance(at(content, path), dict | list | tuple))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


@pytest.mark.parametrize("name", JSON)
def test_depth_digits_and_half_characters_are_one_line(folder: Path, name: str) -> None:
    reader = JSON[name]
    assert "nests too deep" in wrong(reader, folder, b"[" * 200_000 + b"\n")
    assert "nests too deep" in wrong(reader, folder, b'{"results":' * 200_000 + b"\n")
    path = first_leaf(reader.content)
    halved = reader.encoded(replaced(reader.content, path, "a\ud800"))
    assert "half a character" in wrong(reader, folder, halved)
    marked = reader.encoded(replaced(reader.content, path, "HERE")).replace(b'"HERE"', b"1" * 5000)
    wrong(reader, folder, marked)


@pytest.mark.parametrize("name", TEXTS)
def test_a_byte_order_mark_changes_nothing(folder: Path, name: str) -> None:
    assert refused(TEXTS[name], folder, b"\xef\xbb\xbf" + TEXTS[name].good) is None


# Word vectors are looked for by the bytes of their words, and names of files are bytes in any encoding.
BY_BYTES = ("word vectors", "a list of videos")
UTF8 = {name: reader for name, reader in TEXTS.items() if name not in BY_BYTES}


@pytest.mark.parametrize("name", UTF8)
@pytest.mark.parametrize("encoding", ["latin-1", "gzip", "utf-16"])
def test_other_encodings_are_named(folder: Path, name: str, encoding: str) -> None:
    good = UTF8[name].good
    contents = {
        "latin-1": good[:-3] + "é".encode("latin-1") + good[-3:],
        "gzip": b"\x1f\x8b\x08" + good,
        "utf-16": good.decode().encode("utf-16"),
    }
    message = wrong(UTF8[name], folder, contents[encoding])
    assert "UTF-8" in message or "gzip" in message


@pytest.mark.parametrize("name", EVERY)
def test_a_file_must_be_a_file(folder: Path, name: str) -> None:
    reader = EVERY[name]
    path = folder / reader.name
    makers: dict[str, Callable[[], object]] = {
        "pipe": lambda: os.mkfifo(path),
        "loop": lambda: path.symlink_to(path),
        "folder": lambda: path.mkdir(),
    }
    for make in makers.values():
        make()
        # A pipe that is opened would wait for somebody to write into it.
        with contextlib.suppress(UserError, FileNotFoundError, NotADirectoryError):
            assert not reader.read(path), "nothing was read"
        path.rmdir() if path.is_dir() else path.unlink()


def test_nothing_shares_what_tests_change() -> None:
    before = copy.deepcopy({name: reader.content for name, reader in JSON.items()})
    replaced(JSON["captions"].content, ("v1", "duration"), 0)
    assert before == {name: reader.content for name, reader in JSON.items()}
