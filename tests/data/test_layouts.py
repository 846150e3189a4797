"""Small files in the published layouts, and the store that they become."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from hypothesis import given
from hypothesis import strategies as st

from src.data.feature_stores import feature_store, require_same_features
from src.data.layouts import Hdf5, Layout, NpyFolder, NpzFolder, Streams, TextFolders
from src.data.store import Store
from src.errors import UserError
from tests.compose import compose

Array = np.ndarray


def array(rows: int, dim: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)


def error(call: object, *arguments: object) -> str:
    with pytest.raises(UserError) as caught:
        call(*arguments)  # type: ignore[operator]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def npy(folder: Path, **videos: Array) -> NpyFolder:
    folder.mkdir(exist_ok=True)
    for video, values in videos.items():
        np.save(folder / f"{video}.npy", values)
    return NpyFolder(str(folder), 3)


def npz(folder: Path, dim: int, **videos: Array) -> NpzFolder:
    folder.mkdir(exist_ok=True)
    for video, values in videos.items():
        np.savez(folder / f"{video}.npz", features=values)
    return NpzFolder(str(folder), dim)


def hdf5(file: Path, videos: dict[str, Array], dataset: str = "{video}") -> Hdf5:
    with h5py.File(file, "w") as written:
        for video, values in videos.items():
            written[dataset.format(video=video)] = values
    return Hdf5(str(file), 3, dataset)


def test_every_layout_gives_the_features_of_a_video(tmp_path: Path) -> None:
    values = array(5, 3)
    layouts: list[Layout] = [
        npy(tmp_path / "npy", v_1=values),
        npz(tmp_path / "npz", 3, v_1=values),
        hdf5(tmp_path / "lgi.hdf5", {"v_1": values}),
        hdf5(tmp_path / "c3d.hdf5", {"v_1": values}, "{video}/c3d_features"),
    ]
    for layout in layouts:
        assert "v_1" in layout
        assert "v_2" not in layout
        assert layout("v_1").dtype == np.float32
        np.testing.assert_array_equal(layout("v_1"), values)


def test_axes_of_length_one_are_dropped(tmp_path: Path) -> None:
    values = array(5, 3)
    layout = npy(tmp_path / "npy", a=values[:, None, None, :], b=values[..., None, None], c=values[:1, None])
    np.testing.assert_array_equal(layout("a"), values)
    np.testing.assert_array_equal(layout("b"), values)
    np.testing.assert_array_equal(layout("c"), values[:1])


def test_streams_are_scaled_and_cut_to_the_shortest(tmp_path: Path) -> None:
    slow, clip = array(7, 3), array(5, 2, seed=1)
    parts = [npz(tmp_path / "slow", 3, a=slow, b=slow), npz(tmp_path / "clip", 2, a=clip)]
    both = Streams(parts, normalize=True)
    assert "a" in both
    assert "b" not in both
    expected = np.concatenate([x / np.linalg.norm(x, axis=1, keepdims=True) for x in (slow[:5], clip)], axis=1)
    np.testing.assert_allclose(both("a"), expected, atol=1e-4)
    np.testing.assert_array_equal(Streams(parts, normalize=False)("a"), np.concatenate([slow[:5], clip], axis=1))


def test_a_stream_is_scaled_by_its_length_and_a_little_more(tmp_path: Path) -> None:
    # Of length 5, and of length 5e-5, to which 1e-5 is added.
    values = np.array([[3.0, 4.0], [3e-5, 4e-5]], np.float32)
    found = Streams([npz(tmp_path / "s", 2, a=values)], normalize=True)("a")
    np.testing.assert_allclose(found, [[0.6, 0.8], [3 / 6, 4 / 6]], rtol=1e-5)


def test_a_snippet_of_zeros_stays_zeros(tmp_path: Path) -> None:
    both = Streams([npz(tmp_path / "z", 2, a=np.zeros((3, 2), np.float32))], normalize=True)
    assert not both("a").any()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (array(5, 4), "shape (5, 4), expected (n, 3) with n >= 1 (features.dim)"),
        (array(5, 6).reshape(5, 3, 2), "shape (5, 3, 2), expected (n, 3)"),
        (array(0, 3), "shape (0, 3), expected (n, 3)"),
        (np.zeros((0, 1, 3)), "shape (0, 1, 3), expected (n, 3)"),
        (array(1, 3)[0], "shape (3,), expected (n, 3)"),
        (np.float32(1), "shape (), expected (n, 3)"),
        (np.array([[1, 2, 3], [1, np.nan, 3]]), "NaN or infinity, first in row 1 (1 of 2 rows)"),
        (np.array([[1, -np.inf, 3]]), "NaN or infinity"),
        (np.array([[1, 2, 1e5]]), "reach 1e+05, past the 65504 of half precision"),
        (np.array([["a", "b", "c"]]), "features of type <U1, expected numbers"),
    ],
)
def test_features_that_cannot_be_used_are_named_with_their_file(tmp_path: Path, values: Array, message: str) -> None:
    layouts: list[Layout] = [npy(tmp_path / "npy", bad=values), npz(tmp_path / "npz", 3, bad=values)]
    if values.dtype.kind != "U":
        layouts.append(hdf5(tmp_path / "x.hdf5", {"bad": values}))
    for layout in layouts:
        said = error(layout, "bad")
        assert message in said
        assert "bad" in said.split(":")[0]
        assert str(layout.places[0]) in said


def test_damaged_files_are_named(tmp_path: Path) -> None:
    folder = NpyFolder(str(tmp_path), 3)
    (tmp_path / "empty.npy").touch()
    (tmp_path / "text.npy").write_text("hello, this is text")
    np.save(tmp_path / "cut.npy", array(50, 3))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:300])
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}]), allow_pickle=True)
    np.savez(tmp_path / "pickled.npz", features=np.array([{"a": 1}]))
    for video in ("empty", "text", "cut", "pickled"):
        assert error(folder, video).startswith(f"{tmp_path}/{video}.npy cannot be read as an array: ")

    folder_of_npz = npz(tmp_path, 3, whole=array(500, 3))
    content = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(content[:1000])
    (tmp_path / "bits.npz").write_bytes(content[:400] + b"0000" + content[404:])
    for video in ("cut", "bits", "pickled"):
        assert error(folder_of_npz, video).startswith(f"{tmp_path}/{video}.npz cannot be read as an array: ")

    (tmp_path / "text.hdf5").write_text("hello")
    with h5py.File(tmp_path / "huge.hdf5", "w") as file:
        file.create_dataset("a", (1 << 28, 3), np.float32, chunks=(1024, 3))
    assert "huge.hdf5, a has 3.0 GiB: it is not the features" in error(Hdf5(str(tmp_path / "huge.hdf5"), 3), "a")
    assert "text.hdf5 is not an HDF5 file" in error(Hdf5(str(tmp_path / "text.hdf5"), 3).__contains__, "a")


def test_files_of_another_kind_are_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", other=array(2, 3))
    assert "has no array 'features', only other" in error(NpzFolder(str(tmp_path), 3), "a")
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    assert "a .npz under another name" in error(NpyFolder(str(tmp_path), 3), "a")
    np.save(tmp_path / "b.npy", array(2, 3))
    (tmp_path / "b.npy").rename(tmp_path / "b.npz")
    assert "a .npy under another name" in error(NpzFolder(str(tmp_path), 3), "b")
    c3d = hdf5(tmp_path / "c3d.hdf5", {"v": array(2, 3)}, "{video}/c3d_features")
    said = error(Hdf5(str(c3d.places[0]), 3), "v")
    assert "v is a group of c3d_features, not a dataset: set features.layout.dataset" in said


def store(path: Path, layout: Layout, videos: str, pooling: str = "max", limit: int = 4) -> Store:
    return feature_store(path, layout, list(videos), pooling, limit, "https://example.org")  # type: ignore[arg-type]


@given(rows=st.integers(1, 40), limit=st.integers(1, 12), how=st.sampled_from(["max", "mean"]))
def test_a_video_is_pooled_to_at_most_the_limit(
    tmp_path_factory: pytest.TempPathFactory, rows: int, limit: int, how: str
) -> None:
    folder = tmp_path_factory.mktemp("features")
    values = array(rows, 3, seed=rows)
    pooled = store(folder / "s.h5", npy(folder, a=values), "a", how, limit)["a"]["features"].float()
    assert pooled.shape == (min(rows, limit), 3)
    whole = torch.from_numpy(values)
    if rows <= limit:
        torch.testing.assert_close(pooled, whole, atol=2e-3, rtol=1e-3)
    elif how == "max":
        torch.testing.assert_close(pooled.amax(dim=0), whole.amax(dim=0), atol=2e-3, rtol=1e-3)
    else:
        assert (pooled <= whole.amax(dim=0) + 2e-3).all()


def test_a_store_says_what_it_was_made_of(tmp_path: Path) -> None:
    made_by = store(tmp_path / "s.h5", npy(tmp_path / "npy", a=array(9, 3)), "a").made_by
    assert made_by["features"] == {"layout": "NpyFolder", "place": str(tmp_path / "npy")}
    assert (made_by["pooling"], made_by["max_snippets"]) == ("max", 4)
    assert made_by["sizes"] == {"keys": 1, "rows": 4, "dim": 3}


def test_missing_videos_are_counted_and_named_and_no_store_is_made(tmp_path: Path) -> None:
    layout = npy(tmp_path / "npy", a=array(9, 3))
    said = error(store, tmp_path / "s.h5", layout, "abcdef")
    assert said == (
        f"{tmp_path}/npy: no features of 5 of 6 videos ('b', 'c', 'd', …); get them from https://example.org"
    )
    assert not (tmp_path / "s.h5").exists()


def test_a_missing_folder_says_what_to_put_there(tmp_path: Path) -> None:
    streams = Streams([npz(tmp_path / "slow", 3, a=array(2, 3)), NpzFolder(str(tmp_path / "clip"), 2)], True)
    said = error(store, tmp_path / "s.h5", streams, "a")
    assert said == f"no video features at {tmp_path}/clip: get them from https://example.org and put them there"


def test_bad_features_leave_no_store(tmp_path: Path) -> None:
    layout = npy(tmp_path / "npy", a=array(9, 3), b=np.full((2, 3), np.nan))
    assert "b.npy: its features hold NaN" in error(store, tmp_path / "stores" / "s.h5", layout, "ab")
    assert not list((tmp_path / "stores").iterdir())


def test_data_sets_of_the_same_videos_share_a_store(tmp_path: Path) -> None:
    layout = npy(tmp_path / "npy", a=array(9, 3), b=array(2, 3), c=array(3, 3))
    path = tmp_path / "s.h5"
    assert set(store(path, layout, "ab")) == {"a", "b"}
    written = path.stat().st_mtime_ns
    assert set(store(path, layout, "a")) == {"a", "b"}
    assert path.stat().st_mtime_ns == written
    assert set(store(path, layout, "bc")) == {"a", "b", "c"}


def test_other_settings_make_the_store_anew(tmp_path: Path) -> None:
    layout = npy(tmp_path / "npy", a=array(9, 3))
    path = tmp_path / "s.h5"
    assert store(path, layout, "a").count("a") == 4
    assert store(path, layout, "a", limit=5).count("a") == 5
    other = npy(tmp_path / "fine-tuned", a=array(2, 3))
    assert store(path, other, "a").count("a") == 2


def test_a_store_serves_when_its_source_is_gone(tmp_path: Path) -> None:
    layout = npy(tmp_path / "npy", a=array(9, 3))
    store(tmp_path / "s.h5", layout, "a")
    (tmp_path / "npy").rename(tmp_path / "moved")
    assert list(store(tmp_path / "s.h5", layout, "a")) == ["a"]
    assert store(tmp_path / "s.h5", layout, "a", limit=5).count("a") == 4  # as it was made
    assert "no video features at" in error(store, tmp_path / "s.h5", layout, "ab")


@pytest.mark.parametrize(
    ("name", "data", "dim"),
    [
        ("i3d", "charades_cd", 1024),
        ("i3d", "anet_cd", 1024),
        ("i3d_lgi", "charades_sta", 1024),
        ("c3d", "anet", 500),
        ("vgg", "charades_cg", 4096),
        ("slowfast_clip", "qvhighlights", 2816),
    ],
)
def test_the_configs_read_their_layout(tmp_path: Path, name: str, data: str, dim: int) -> None:
    overrides = ["+paths=default", f"paths.data={tmp_path}", f"+data={data}", f"+features={name}"]
    features = compose(*overrides).features
    layout: Layout = instantiate(features.layout)
    for place, size in zip(layout.places, (2304, 512) if name == "slowfast_clip" else (dim,), strict=True):
        values = array(3, size)
        place.parent.mkdir(parents=True, exist_ok=True)
        if name == "c3d":
            hdf5(place, {"v_x": values}, "{video}/c3d_features")
        elif place.suffix:
            hdf5(place, {"v_x": values})
        elif name == "i3d":
            npy(place, v_x=values)
        else:
            npz(place, size, v_x=values)
    assert layout("v_x").shape == (3, features.dim) == (3, dim)
    assert f"features.{name}.max128.h5" in features.store
    assert re.search(r"https?://|a copy of ", features.source)


def test_a_store_is_made_anew_when_what_it_was_made_of_has_changed(tmp_path: Path) -> None:
    path, folder = tmp_path / "s.h5", tmp_path / "npy"
    layout = npy(folder, a=array(4, 3), b=array(9, 3, 1))
    store(path, layout, "ab")
    made = path.stat().st_mtime_ns
    for file in folder.iterdir():
        file.touch()  # the time alone says nothing
    store(path, layout, "ab")
    assert path.stat().st_mtime_ns == made

    npy(folder, b=array(9, 3, 2))  # as long as before
    again = store(path, layout, "ab")
    assert path.stat().st_mtime_ns != made
    assert torch.equal(again["a"]["features"], torch.from_numpy(array(4, 3)).half())
    assert not torch.equal(again["b"]["features"], torch.from_numpy(array(9, 3, 1)).half()[:4])

    moved = folder.rename(tmp_path / "elsewhere")
    (tmp_path / "place").mkdir()
    layout = NpyFolder(str(moved.rename(tmp_path / "place" / "npy")), 3)
    made = path.stat().st_mtime_ns
    store(path, layout, "ab")
    assert path.stat().st_mtime_ns == made


def test_one_file_of_many_videos_is_known_by_its_content(tmp_path: Path) -> None:
    path, file = tmp_path / "s.h5", tmp_path / "f.h5"
    store(path, hdf5(file, {"a": array(400, 3), "b": array(900, 3, 1)}), "ab")
    made = path.stat().st_mtime_ns
    store(path, hdf5(file, {"a": array(400, 3, 5), "b": array(900, 3, 6)}), "ab")
    assert path.stat().st_mtime_ns != made


def test_training_does_not_read_a_store_of_other_features(tmp_path: Path) -> None:
    made = store(tmp_path / "s.h5", npy(tmp_path / "i3d", a=array(4, 3)), "a")
    other = npy(tmp_path / "i3d_org", a=array(4, 3))
    require_same_features(made, NpyFolder(str(tmp_path / "moved" / "i3d"), 3), "max", 4)
    for asked in ((other, "max", 4), (NpyFolder(str(tmp_path / "i3d"), 3), "mean", 4)):
        message = error(require_same_features, made, *asked)
        assert "and the configuration has" in message
        assert "src.prepare" in message


def test_text_folders_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    values = array(3, 3)
    (tmp_path / "v_1").mkdir()
    for number in (2, 0, 1):
        np.savetxt(tmp_path / "v_1" / f"v_1-{1 + 4 * number:06}.txt", values[number][None])
    layout = TextFolders(str(tmp_path), 3)
    assert layout("v_1") == pytest.approx(values, abs=1e-6)
    assert len(layout.sources(["v_1"])) == 3
    assert "v_2" not in layout
    assert "../v_1" not in layout
    wide = TextFolders(str(tmp_path / "wide"), 300)
    (tmp_path / "wide" / "v_1").mkdir(parents=True)
    np.savetxt(tmp_path / "wide" / "v_1" / "v_1-000001.txt", array(1, 300))
    assert wide("v_1").shape == (1, 300)
    (tmp_path / "v_1" / "v_1-000009.txt").write_text("1 2\n")
    assert "holds 2 numbers, expected 3" in error(layout, "v_1")
    (tmp_path / "v_1" / "v_1-000009.txt").write_text("1 2 x\n")
    assert "holds what is no number" in error(layout, "v_1")


def test_a_store_of_several_streams_says_what_each_is(tmp_path: Path) -> None:
    streams = Streams([npz(tmp_path / "slow", 3, a=array(2, 3)), npz(tmp_path / "clip", 2, a=array(3, 2))], True)
    made_by = store(tmp_path / "s.h5", streams, "a").made_by
    assert made_by["features"]["normalize"]
    assert [each["place"] for each in made_by["features"]["streams"]] == [f"{tmp_path}/slow", f"{tmp_path}/clip"]
    assert made_by["sizes"] == {"keys": 1, "rows": 2, "dim": 5}


class Weighed(NpyFolder):
    """Features that a network computed, whose weights have a digest; None where the file is not there."""

    digest: str | None = None
    known: bool = True

    @property
    def identity(self) -> dict[str, Any]:
        extractor = {"name": "i3d", "weights": self.digest} if self.known else None
        return super().identity | {"extractor": extractor}


def test_weights_that_cannot_be_looked_at_are_taken_to_be_those_of_the_store(tmp_path: Path) -> None:
    npy(tmp_path / "npy", a=array(4, 3))
    layout = Weighed(str(tmp_path / "npy"), 3)
    layout.digest = "1f"
    made = store(tmp_path / "s.h5", layout, "a")
    for digest, agrees in (("1f", True), (None, True), ("2f", False)):
        layout.digest = digest
        if agrees:
            require_same_features(made, layout, "max", 4)
        else:
            assert "'weights': '1f'" in error(require_same_features, made, layout, "max", 4)
    layout.known = False
    require_same_features(made, layout, "max", 4)
    # A store that says less, or says it otherwise, is of other features.
    assert "and the configuration has" in error(
        require_same_features, made, NpyFolder(str(tmp_path / "npy"), 3), "max", 4
    )


def test_no_id_leads_out_of_the_folder(tmp_path: Path) -> None:
    npy(tmp_path / "own", a=array(4, 3))
    layout = npy(tmp_path / "npy", b=array(4, 3))
    assert "../npy/b" not in layout
    assert "../own/a" not in layout
    assert str(tmp_path / "own" / "a") not in layout
