"""Odd, damaged and oversized files one by one: how each is made, what reads it, and a word of what must be said."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from src.data.annotations.charades_sta import CharadesSta
from src.data.annotations.qvhighlights import QvHighlights
from src.data.caption_formats import read_captions
from src.data.layouts import Hdf5, NpyFolder, NpzFolder
from src.data.store import Store, write_store
from src.runs.predictions import read_predictions
from tests.readers import ACTIVITYNET, MOMENTS, OURS, QV, VALUES, WRITER


class Odd(NamedTuple):
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    said: str


def _predictions(path: Path) -> object:
    return read_predictions(path, MOMENTS)


def _captions(path: Path) -> object:
    return list(read_captions(path, 2.0, WRITER))


def _store(path: Path) -> object:
    store = Store(path, ("times",))
    return [store[key] for key in store]


def _ours(**changes: Any) -> Callable[[Path], object]:
    lines = [OURS[0] | changes, OURS[1]]
    return lambda path: path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _activitynet(timestamp: Any) -> Callable[[Path], object]:
    changed = json.loads(json.dumps(ACTIVITYNET))
    changed["results"]["v1"][0]["timestamp"] = timestamp
    return lambda path: path.write_text(json.dumps(changed))


def qv(**changes: Any) -> Callable[[Path], object]:
    return lambda path: path.write_text(json.dumps(QV | changes) + "\n")


def _stored(change: Callable[[h5py.File], object]) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        rows = [(key, {"features": VALUES, "times": np.arange(3.0)}) for key in ("v1", "v2")]
        write_store(path, rows, {"by": "a test"})
        with h5py.File(path, "r+") as file:
            change(file)

    return make


def _replaced(name: str, **settings: Any) -> Callable[[h5py.File], object]:
    def change(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, **settings)

    return change


def _features(**settings: Any) -> Callable[[h5py.File], object]:
    return _replaced("features", **settings)


def _linked(file: h5py.File) -> None:
    del file["features"]
    file["features"] = h5py.ExternalLink("elsewhere.h5", "/features")


def _soft(file: h5py.File) -> None:
    file["other"] = file["features"]
    del file["features"]
    file["features"] = h5py.SoftLink("/other")


def _virtual(file: h5py.File) -> None:
    del file["features"]
    layout = h5py.VirtualLayout((6, 4), "f2")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "features", (6, 4))
    file.create_virtual_dataset("features", layout)


def _nan(file: h5py.File) -> None:
    file["times"][1] = np.nan


def _bomb(path: Path, member: str) -> None:
    """A zip whose member says that it unpacks to three gigabytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, b"a")
    content = bytearray(path.read_bytes())
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = (3 * 2**30).to_bytes(4, "little")
    path.write_bytes(content)


def _zip_bomb(path: Path) -> None:
    _bomb(path, "v1.jsonl")


def _npz_bomb(path: Path) -> None:
    _bomb(path, "features.npy")


def _encrypted(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("v1.jsonl", b"a")
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.rindex(mark) + place] |= 1
    path.write_bytes(content)


def _npy_header(path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 4)})
    path.write_bytes(header.getvalue() + b"\0" * 100)


def _fill(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("v1", shape=(375_000_000, 4), dtype="f4", chunks=(1024, 4), fillvalue=1.0)


def _outside(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["v1"] = h5py.ExternalLink("elsewhere.h5", "/v1")


def _text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content)


def _highlights(path: Path) -> object:
    return list(QvHighlights(str(path))())


def _no_features(file: h5py.File) -> None:
    del file["features"]


def _group(file: h5py.File) -> None:
    del file["features"]
    file.create_group("features")


def _no_times(file: h5py.File) -> None:
    del file["times"]


def _made_by(value: Any) -> Callable[[h5py.File], object]:
    return lambda file: file.attrs.__setitem__("made_by", value)


def _npy(path: Path) -> object:
    return NpyFolder(str(path.parent), 4)("v1")


def _npz(path: Path) -> object:
    return NpzFolder(str(path.parent), 4)("v1")


def _digits(path: Path) -> None:
    path.write_text('{"query_id": "a", "predictions": [[0, ' + "1" * 5000 + "]]}")


def _sta(path: Path) -> object:
    (path.parent / "d.json").write_text('{"V1": {"duration": 10.0}}')
    return list(CharadesSta(str(path), str(path.parent / "d.json"))())


def _length(path: Path) -> object:
    return Hdf5(str(path), 4)("v1")


_STRING = h5py.string_dtype()
ODD: dict[str, tuple[str, Odd]] = {
    name: (file, Odd(make, read, said))
    for name, file, make, read, said in (
        # Damaged stores.
        ("no features", "s.h5", _stored(_no_features), _store, "damaged or not a store"),
        ("chunked", "s.h5", _stored(_features(data=np.ones((6, 4), "f2"), chunks=(2, 4))), _store, "damaged"),
        ("big-endian", "s.h5", _stored(_features(data=np.ones((6, 4), ">f2"))), _store, "damaged"),
        ("one-dimensional", "s.h5", _stored(_features(data=np.ones(6, "f2"))), _store, "damaged"),
        ("too few rows", "s.h5", _stored(_features(data=np.ones((5, 4), "f2"))), _store, "damaged"),
        ("single precision", "s.h5", _stored(_features(data=np.ones((6, 4), "f4"))), _store, "damaged"),
        ("features that are a group", "s.h5", _stored(_group), _store, "damaged"),
        ("offsets negative", "s.h5", _stored(_replaced("offsets", data=np.array([0, -3, 6]))), _store, "do not ascend"),
        ("offsets zero", "s.h5", _stored(_replaced("offsets", data=np.array([0, 0, 6]))), _store, "do not ascend"),
        ("offsets short", "s.h5", _stored(_replaced("offsets", data=np.array([0, 6]))), _store, "2 keys and 2 offsets"),
        ("offsets past the end", "s.h5", _stored(_replaced("offsets", data=np.array([0, 3, 60]))), _store, "damaged"),
        ("offsets of text", "s.h5", _stored(_replaced("offsets", data=["a"] * 3, dtype=_STRING)), _store, "damaged"),
        ("offsets without end", "s.h5", _stored(_replaced("offsets", shape=(10**9,), dtype="i8")), _store, "damaged"),
        ("keys without end", "s.h5", _stored(_replaced("keys", shape=(10**9,), dtype=_STRING)), _store, "damaged"),
        ("a key twice", "s.h5", _stored(_replaced("keys", data=["v1", "v1"], dtype=_STRING)), _store, "twice"),
        ("keys of numbers", "s.h5", _stored(_replaced("keys", data=[1, 2])), _store, "damaged"),
        ("no times", "s.h5", _stored(_no_times), _store, "no times"),
        ("made_by a number", "s.h5", _stored(_made_by(3)), _store, "damaged"),
        ("made_by deep", "s.h5", _stored(_made_by("[" * 50_000)), _store, "damaged"),
        ("times NaN", "s.h5", _stored(_nan), _store, "not finite"),
        ("an external link", "s.h5", _stored(_linked), _store, "is a link"),
        ("a soft link", "s.h5", _stored(_soft), _store, "is a link"),
        ("a virtual data set", "s.h5", _stored(_virtual), _store, "from other files"),
        # Size.
        ("a zip of 3 GB", "c.zip", _zip_bomb, _captions, "3072 MiB"),
        ("an npz of 3 GB", "v1.npz", _npz_bomb, _npz, "3.0 GiB"),
        ("an encrypted zip", "c.zip", _encrypted, _captions, "encrypted"),
        ("a header of 10^9 rows", "v1.npy", _npy_header, _npy, "cannot be read"),
        ("6 GB of fill values", "f.h5", _fill, _length, "not the features of a video"),
        ("features as a link", "f.h5", _outside, _length, "is a link"),
        ("a field without end", "c.csv", _text("video,time,text\nv,1," + "a" * 140_000), _captions, "not CSV"),
        (
            "5000 digits",
            "p.jsonl",
            _text('{"query_id": "a", "predictions": [[0, ' + "1" * 5000 + "]]}"),
            _predictions,
            "digits",
        ),
        # Odd records.
        ("a timestamp that is an object", "a.json", _activitynet({"start": 1}), _predictions, "not [start, end]"),
        ("a timestamp that is nothing", "a.json", _activitynet(None), _predictions, "not [start, end]"),
        ("saliency null", "p.jsonl", _ours(saliency=None), _predictions, "saliency"),
        ("saliency of text", "p.jsonl", _ours(saliency=["a"]), _predictions, "saliency"),
        ("a window end of 10^400", "p.jsonl", _ours(predictions=[[0, 10**400]]), _predictions, "not [start, end]"),
        ("a window end of 10^300", "p.jsonl", _ours(predictions=[[0, 1e300]]), _predictions, "seconds of any video"),
        ("a window end that is true", "p.jsonl", _ours(predictions=[[0, True]]), _predictions, "not [start, end]"),
        ("a query id that is a list", "p.jsonl", _ours(query_id=["a"]), _predictions, "query's id"),
        ("a video twice under results", "a.json", _text('{"results": {"v1": [], "v1": []}}'), _predictions, "twice"),
        ("a video twice among captions", "c.json", _text('{"v": {"0": "a"}, "v": {"0": "b"}}'), _captions, "twice"),
        ("a time that is true", "c.csv", _text("video,time,text\nv,true,a\n"), _captions, "not a time"),
        ("half a character", "q.jsonl", qv(query="a \ud800"), _highlights, "half a character"),
        ("a zero in a query", "q.jsonl", qv(query="a\0b"), _highlights, "no store can hold"),
        ("a duration of 1e300", "q.jsonl", qv(duration=1e300), _highlights, "at most 1e+09"),
        ("a clip of 400 digits", "q.jsonl", qv(relevant_clip_ids=[10**400, 1]), _highlights, "clip"),
        ("a video that leads elsewhere", "c.txt", _text("../V1 1 2##he sits\n"), _sta, "unknown video"),
    )
}
"""By name: what the file is called, and the rest."""
