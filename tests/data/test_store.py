from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from src.data.store import _BLOCK, Columns, Store, open_if_made_by, write_store
from src.errors import UserError
from tests.memory import peak_memory

inherited: Store


def features(key: str, rows: int, dim: int = 4) -> np.ndarray:
    generator = np.random.default_rng(abs(hash(key)) % 2**32)
    return generator.standard_normal((rows, dim)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of three videos with times."""
    path = tmp_path / "stores" / "videos.h5"
    lengths = {"a": 3, "b": 1, "c": 5}
    rows = [(key, {"features": features(key, n), "times": np.arange(n) + 0.5}) for key, n in lengths.items()]
    write_store(path, rows, {"features": "made up", "pooling": "max"})
    return path


def error(call: object, *arguments: object) -> str:
    with pytest.raises(UserError) as caught:
        call(*arguments)  # type: ignore[operator]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_rows_come_back_in_half_precision_with_their_columns(path: Path) -> None:
    store = Store(path)
    assert (len(store), store.dim, list(store)) == (3, 4, ["a", "b", "c"])
    assert [store.count(key) for key in store] == [3, 1, 5]
    rows = store["c"]
    assert rows["features"].dtype == torch.float16
    torch.testing.assert_close(rows["features"].float(), torch.from_numpy(features("c", 5)), atol=2e-3, rtol=1e-3)
    assert rows["times"].tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]


def test_every_row_of_a_large_store_is_there(tmp_path: Path) -> None:
    rows = np.repeat(np.arange(70_000, dtype=np.float32)[:, None] % 2048, 64, axis=1)
    write_store(tmp_path / "store.h5", [("a", {"features": rows[:69_999]}), ("b", {"features": rows[69_999:]})], {})
    # It is written in more than two blocks.
    assert (tmp_path / "store.h5").stat().st_size > 2 * _BLOCK
    store = Store(tmp_path / "store.h5")
    assert np.array_equal(store["a"]["features"].numpy(), rows[:69_999].astype(np.float16))
    assert store["b"]["features"].tolist() == [[69_999 % 2048] * 64]


def test_a_store_says_what_made_it(path: Path) -> None:
    assert Store(path).made_by == {
        "features": "made up",
        "pooling": "max",
        "sizes": {"keys": 3, "rows": 9, "dim": 4},
        "format": "tea-store-1",
    }


def test_what_is_read_belongs_to_the_reader(path: Path) -> None:
    store = Store(path)
    store["a"]["features"].zero_()
    assert store["a"]["features"].abs().sum() > 0


@given(st.dictionaries(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), st.integers(1, 9)))
def test_any_keys_and_lengths_round_trip(tmp_path_factory: pytest.TempPathFactory, lengths: dict[str, int]) -> None:
    if not lengths:
        return
    path = tmp_path_factory.mktemp("store") / "s.h5"
    flags = {key: features(key, n)[:, 0] > 0 for key, n in lengths.items()}
    write_store(path, ((k, {"features": features(k, n), "unknown": flags[k]}) for k, n in lengths.items()), {})
    store = Store(path)
    assert set(store) == set(lengths)
    for key, n in lengths.items():
        assert torch.equal(store[key]["features"], torch.from_numpy(features(key, n)).half())
        assert store[key]["unknown"].tolist() == flags[key].tolist()


def read(store: Store, key: str) -> list[list[float]]:
    return store[key]["features"].tolist()  # type: ignore[no-any-return]


def _inherit(store: Store) -> None:
    global inherited
    inherited = store


def _read_inherited(key: str) -> list[list[float]]:
    return read(inherited, key)


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_processes_read_one_store_at_once(path: Path, how: str) -> None:
    store = Store(path)
    expected = {key: read(store, key) for key in store}  # mapped already, before the others start
    with multiprocessing.get_context(how).Pool(2) as pool:
        found = pool.starmap(read, [(store, key) for key in "abc" * 8])
    assert found == [expected[key] for key in "abc" * 8]


def test_a_pickled_store_carries_no_rows(path: Path) -> None:
    store = Store(path)
    before = len(pickle.dumps(store))
    store["a"]
    assert len(pickle.dumps(store)) == before < 2000
    assert read(pickle.loads(pickle.dumps(store)), "c") == read(store, "c")


def _write(path: Path, videos: int) -> None:
    block = np.ones((1000, 1000), np.float16)
    write_store(path, ((str(video), {"features": block}) for video in range(videos)), {})


def test_the_memory_of_writing_does_not_grow_with_the_store(tmp_path: Path) -> None:
    small, large = (peak_memory(lambda size=size: _write(tmp_path / f"{size}.h5", size)) for size in (100, 400))
    assert (tmp_path / "400.h5").stat().st_size > 800e6
    assert large - small < 50 << 20


def test_the_disk_holds_a_store_only_once_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    write = h5py.Dataset.__setitem__

    def counting(dataset: h5py.Dataset, *arguments: object) -> None:
        write(dataset, *arguments)
        dataset.flush()
        taken.append(sum(file.stat().st_blocks * 512 for file in tmp_path.rglob("*") if file.is_file()))

    monkeypatch.setattr(h5py.Dataset, "__setitem__", counting)
    _write(tmp_path / "s.h5", 20)
    assert len(taken) > 5
    assert max(taken) < 1.3 * (tmp_path / "s.h5").stat().st_size


@pytest.mark.parametrize("rows", [1, 10])
def test_random_reads_leave_nothing_of_a_store_in_the_process(tmp_path: Path, rows: int) -> None:
    block = np.ones((rows, 1024), np.float16)
    count = 15_000 // rows
    write_store(tmp_path / "s.h5", ((str(key), {"features": block}) for key in range(count)), {})
    store = Store(tmp_path / "s.h5")
    keys = np.random.default_rng(0).integers(count, size=30_000).astype(str).tolist()

    def read_all() -> None:
        for key in keys:
            store[key]

    assert peak_memory(read_all) < 16 << 20


def test_a_store_cut_short_while_in_use_is_told(path: Path) -> None:
    store = Store(path)
    with path.open("r+b") as file:
        file.truncate(100)
    assert "was cut short while it was in use" in error(store.__getitem__, "c")


def test_a_missing_key_is_named_with_the_file(path: Path) -> None:
    store = Store(path)
    assert "d" not in store
    assert error(store.__getitem__, "d") == f"{path} has nothing for 'd'"
    assert error(store.require, ["a", "x", "y", "z", "w"]) == f"{path} has nothing for 4 of 5: 'w', 'x', 'y', …"
    store.require("abc")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.array([[1.0], [np.nan], [np.inf]]), "NaN or infinity, first in row 1 (2 of 3 rows)"),
        (np.array([[7e4]]), "reach 7e+04, past the 65504 of half precision"),
        (np.zeros((0, 1)), "shape (0, 1)"),
        (np.zeros(3), "shape (3,)"),
        (np.zeros((2, 2)), "size 2, those before it have 1"),
    ],
)
def test_features_that_cannot_be_stored_leave_nothing(tmp_path: Path, bad: np.ndarray, message: str) -> None:
    path = tmp_path / "s.h5"
    rows = [("good", {"features": np.zeros((2, 1))}), ("bad video", {"features": bad})]
    said = error(write_store, path, rows, {})
    assert message in said
    assert said.startswith(f"'bad video', for {path}: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("times", [np.zeros(2), np.zeros(3, np.float32), np.zeros((2, 1))])
def test_a_column_of_another_type_or_length_than_before_is_an_error(tmp_path: Path, times: np.ndarray) -> None:
    first = ("a", {"features": np.zeros((3, 1)), "times": np.zeros(3)})
    rows = [first, ("b", {"features": np.zeros((3, 1)), "times": times})]
    with pytest.raises(ValueError, match="b: column times is float"):
        write_store(tmp_path / "s.h5", rows, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("made_by", ["{}", '{"sizes": 3}', '{"sizes": {}}', '{"sizes": {"keys": 3, "rows": 9}}'])
def test_a_store_that_does_not_say_what_made_it_is_refused(path: Path, made_by: str) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["made_by"] = made_by
    assert "what made it is not said" in error(Store, path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_no_numbers_are_told_when_they_are_read(path: Path, value: float) -> None:
    with h5py.File(path, "r+") as file:
        file["features"][1, 2] = value
    assert f"{path} is damaged (features of 'a' is not finite)" in error(Store(path).__getitem__, "a")
    assert torch.isfinite(Store(path)["c"]["features"]).all()


def test_offsets_that_go_back_are_refused(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["offsets"][:] = [0, 7, 3, 9]
    assert "do not ascend" in error(Store, path)


@pytest.mark.parametrize("key", ["a\0b", "a\ud800"])
def test_a_key_that_is_no_text_is_refused(tmp_path: Path, key: str) -> None:
    assert "holds what is no character" in error(
        write_store, tmp_path / "s.h5", [(key, {"features": np.ones((2, 1))})], {}
    )
    assert not list(tmp_path.iterdir())


def test_a_key_given_twice_and_nothing_at_all_are_errors(tmp_path: Path) -> None:
    row = ("a", {"features": np.zeros((2, 1))})
    assert "'a' is given twice" in error(write_store, tmp_path / "s.h5", [row, row], {})
    assert "nothing to store" in error(write_store, tmp_path / "s.h5", [], {})
    assert not list(tmp_path.iterdir())


def test_a_failure_keeps_the_store_that_was_there(path: Path) -> None:
    def failing() -> Iterator[tuple[str, Columns]]:
        yield "a", {"features": np.zeros((2, 1))}
        raise RuntimeError("the source broke off")

    before = path.read_bytes()
    with pytest.raises(RuntimeError):
        write_store(path, failing(), {})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = error(write_store, tmp_path / "file" / "stores" / "s.h5", [], {})
    assert f"the folder {tmp_path}/file/stores cannot be made" in said
    assert "TEA_STORES=FOLDER" in said


def test_files_that_are_no_stores(path: Path, tmp_path: Path) -> None:
    cut, text, foreign, absent = (tmp_path / name for name in ("cut.h5", "text.h5", "foreign.h5", "absent.h5"))
    cut.write_bytes(path.read_bytes()[:-50])
    text.write_text("not HDF5")
    with h5py.File(foreign, "w") as file:
        file["VIDEO"] = np.zeros((3, 4))
    assert str(cut) in error(Store, cut)
    assert "damaged" in error(Store, cut)
    assert "damaged or not a store" in error(Store, text)
    assert "not a store of this version" in error(Store, foreign)
    assert error(Store, absent) == f"no store at {absent}: make it with python -m src.prepare"
    assert "damaged or not a store" in error(Store, tmp_path)


@pytest.mark.parametrize("shape", [(9,), (9, 4, 1)])
def test_a_store_of_other_features_is_refused(path: Path, shape: tuple[int, ...]) -> None:
    for dtype in (np.float16, np.float32):
        with h5py.File(path, "r+") as file:
            del file["features"]
            file["features"] = np.ones(shape, dtype)
        assert f"its features are {np.dtype(dtype)} {shape}, not float16 (n, dim)" in error(Store, path)
    with h5py.File(path, "r+") as file:
        del file["features"]
        file["features"] = np.ones((9, 0), np.float16)
    assert "features has not 9 rows in one piece" in error(Store, path)


def test_a_store_is_opened_only_if_made_by_the_same(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert open_if_made_by(path, {"features": "made up", "pooling": "max"}) is not None
    assert open_if_made_by(path, {"features": "made up", "pooling": "mean"}) is None
    assert open_if_made_by(path, {"seed": 1}) is None
    assert f"making {path} anew: it was made with another pooling" in caplog.messages
    path.write_bytes(b"broken")
    assert open_if_made_by(path, {"pooling": "max"}) is None


def test_settings_are_compared_as_json_has_them(tmp_path: Path) -> None:
    made_by = {"streams": ({"dim": 3}, None)}
    write_store(tmp_path / "s.h5", [("a", {"features": np.zeros((1, 1))})], made_by)
    assert open_if_made_by(tmp_path / "s.h5", made_by) is not None
    with h5py.File(tmp_path / "s.h5") as file:
        assert json.loads(file.attrs["made_by"])["streams"] == [{"dim": 3}, None]


def test_a_store_made_anew_while_in_use_is_noticed(path: Path, tmp_path: Path) -> None:
    store = pickle.dumps(Store(path))
    other = tmp_path / "other.h5"
    write_store(other, [(key, {"features": np.zeros((3, 4))}) for key in "abc"], {})
    shutil.move(other, path)
    assert "made anew while it was in use" in error(pickle.loads(store).__getitem__, "a")


def test_an_open_store_and_its_forks_outlive_their_replacement(path: Path) -> None:
    expected = read(Store(path), "a")
    store = Store(path)
    write_store(path, [("a", {"features": np.zeros((3, 4))})], {})
    assert read(store, "a") == expected
    with multiprocessing.get_context("fork").Pool(1, initializer=_inherit, initargs=(store,)) as pool:
        assert pool.apply(_read_inherited, ("a",)) == expected


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_process_left_goes_with_the_next(tmp_path: Path, how: signal.Signals) -> None:
    path, rows = tmp_path / "s.h5", [("a", {"features": np.zeros((2, 3))})]

    def killed() -> Iterator[tuple[str, Columns]]:
        yield from rows
        os.kill(os.getpid(), how)

    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        write_store(path, killed(), {})
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -how
    assert list(tmp_path.iterdir())

    def beside() -> Iterator[tuple[str, Columns]]:
        yield from rows
        write_store(path, rows, {})  # another that writes the same store leaves this one's place alone

    write_store(path, beside(), {})
    assert [file.name for file in tmp_path.iterdir()] == ["s.h5"]
