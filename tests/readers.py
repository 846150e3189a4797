"""Every reader of files that may be anybody's, with a file that it reads: what is done to one is done to all."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from src.data.annotations.captions import Captions
from src.data.annotations.charades_sta import CharadesSta
from src.data.annotations.qvhighlights import QvHighlights
from src.data.annotations.tacos import Tacos
from src.data.caption_formats import read_captions
from src.data.layouts import Hdf5, NpyFolder, NpzFolder
from src.data.narratives import read_narratives
from src.data.records import Moment
from src.data.store import Store, write_store
from src.narrators.journal import read_failures
from src.narrators.shards import merge
from src.reporting.published import read_published
from src.runs.folder import read_status
from src.runs.predictions import read_predictions
from src.runs.reading import read_answers
from src.text.glove import Glove
from src.videos.collection import collect

MOMENTS = [
    Moment("a", "v1", "A person sits.", ((1.0, 4.0),), 10.0),
    Moment("b", "v1", "A person stands.", ((5.0, 8.0),), 10.0),
]
WRITER = {"narrator": "own", "model": "m"}


@dataclass(frozen=True)
class Reader:
    """A reader, and a file that it reads.

    Attributes:
        read: Reads the file at a path.
        name: The file's name.
        content: What it holds: values for a line of JSON each, one value of JSON, or bytes.
    """

    read: Callable[[Path], object]
    name: str
    content: Any

    @property
    def good(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else self.encoded(self.content)

    def encoded(self, content: Any) -> bytes:
        """A value in the form of the file, half characters and all."""
        if self.name.endswith(".jsonl"):
            return b"".join(json.dumps(line).encode() + b"\n" for line in content)
        return json.dumps(content).encode()


def _durations(path: Path) -> object:
    return list(CharadesSta(str(path.parent / "good.txt"), str(path))())


def _moments_in_text(path: Path) -> object:
    return list(CharadesSta(str(path), str(path.parent / "durations.json"))())


def _merged(path: Path) -> object:
    return merge([str(path)], path.with_name("merged.jsonl"), {"v1", "v2"})


def _words(path: Path) -> object:
    return list(Glove(str(path), 3, "somewhere").words(["a person", "a door"]))


def _npy(path: Path) -> object:
    return NpyFolder(str(path.parent), 4)("v1")


def _npz(path: Path) -> object:
    return NpzFolder(str(path.parent), 4)("v1")


def _hdf5(path: Path) -> object:
    layout = Hdf5(str(path), 4)
    return layout("v1") if "v1" in layout else None


def _store(path: Path) -> object:
    store = Store(path, ("times",))
    return [store[key] for key in store]


def _array(save: Callable[..., None], **arrays: Any) -> bytes:
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def _zip(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _csv(*rows: tuple[str, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def beside(folder: Path) -> None:
    """The files that some of the readers read besides."""
    (folder / "good.txt").write_text("V1 1.0 4.0##a person sits.\n")
    (folder / "durations.json").write_text(json.dumps({"V1": {"duration": 10.0}}))


VALUES = np.arange(12, dtype=np.float32).reshape(3, 4)
_NARRATIVES = [
    {"video": "v1", "times": [0.0, 1.5], "texts": ["a", "b"], "writer": WRITER},
    {"video": "v2", "times": [0.0], "texts": ["c"], "writer": WRITER},
]
_CLIPS = b'{"moment": 0, "description": "a"}\n{"moment": 1, "description": "b"}\n'
_CAPTIONS = {"v1": {"duration": 10.0, "timestamps": [[1, 4], [5, 8]], "sentences": ["a person sits", "he stands"]}}
QV = {
    "qid": 7,
    "query": "a person sits",
    "duration": 10.0,
    "vid": "abc_0_10",
    "relevant_windows": [[0, 4]],
    "relevant_clip_ids": [0, 1],
    "saliency_scores": [[1, 2, 3], [2, 2, 2]],
}
OURS = [
    {
        "split": "test",
        "query_id": moment.query_id,
        "video": moment.video,
        "query": moment.query,
        "duration": moment.duration,
        "windows": moment.windows,
        "novel": [],
        "predictions": [[1.0, 4.0, 0.9], [2.0, 3.0, 0.1]],
        "saliency": [0.1, 0.2],
    }
    for moment in MOMENTS
]
ACTIVITYNET = {
    "version": "1",
    "results": {
        "v1": [
            {"sentence": "a person sits", "timestamp": [1, 4]},
            {"sentence": "a person stands", "timestamp": [[5, 8], [0, 2]]},
        ]
    },
}
_SUBMISSION = [
    {"qid": moment.query_id, "pred_relevant_windows": [[0, 2, 0.1]], "pred_saliency_scores": [0.5]}
    for moment in MOMENTS
]

TEXTS: dict[str, Reader] = {
    "captions": Reader(lambda path: list(Captions(str(path.parent), [path.name])()), "c.json", _CAPTIONS),
    "novel captions": Reader(
        lambda path: list(Captions(str(path.parent), [path.name])()),
        "n.json",
        {"v1": _CAPTIONS["v1"] | {"news": [{"NOUN": ["soup"]}, {"v-n": [["take", "soup"]]}]}},
    ),
    "TACoS": Reader(
        lambda path: list(Tacos(str(path))()),
        "t.json",
        {"v1": {"fps": 25.0, "num_frames": 250, "timestamps": [[10, 40]], "sentences": ["he sits"]}},
    ),
    "Charades-STA": Reader(_moments_in_text, "c.txt", b"V1 1.0 4.0##a person sits.\nV1 2 5##he stands\n"),
    "durations": Reader(_durations, "d.json", {"V1": {"duration": 10.0}, "V2": {"duration": 3.5}}),
    "QVHighlights": Reader(lambda path: list(QvHighlights(str(path))()), "q.jsonl", [QV]),
    "predictions": Reader(lambda path: read_predictions(path, MOMENTS), "p.jsonl", OURS),
    "ActivityNet's predictions": Reader(lambda path: read_predictions(path, MOMENTS), "a.json", ACTIVITYNET),
    "a submission": Reader(lambda path: read_predictions(path, MOMENTS), "s.jsonl", _SUBMISSION),
    "a run's predictions": Reader(read_answers, "test.jsonl", OURS),
    "a run's status": Reader(lambda path: read_status(path.parent), "status.json", {"state": "finished"}),
    "narratives": Reader(lambda path: list(read_narratives(path)), "n.jsonl", _NARRATIVES),
    "shards": Reader(_merged, "shard.jsonl", _NARRATIVES),
    "failures": Reader(read_failures, "f.jsonl", [{"video": "v1", "reason": "damaged"}]),
    "captions as JSON": Reader(
        lambda path: list(read_captions(path, 2.0, WRITER)), "c.json", {"v1": {"0": "a", "1.5": "b"}}
    ),
    "captions as CSV": Reader(
        lambda path: list(read_captions(path, 2.0, WRITER)),
        "c.csv",
        _csv(("video", "time", "text"), ("v1", "0", "a"), ("v1", "1.5", "b, c")),
    ),
    "captions by clip": Reader(
        lambda path: list(read_captions(path.parent, 2.0, WRITER)),
        "v1.jsonl",
        [json.loads(each) for each in _CLIPS.splitlines()],
    ),
    "numbers of a paper": Reader(
        read_published,
        "paper.csv",
        _csv(("method", "split", "metric", "value", "ours"), ("EMB", "test", "mIoU", "40.1", "merger=none")),
    ),
    "a list of videos": Reader(lambda path: collect(path, None), "list.txt", b"a.mp4\nfolder/b.mp4\n"),
    "word vectors": Reader(_words, "g.txt", b"a 1 2 3\nperson 0.5 1e-3 -2\ndoor 1 1 1\n"),
}
"""Readers of text."""

ARRAYS: dict[str, Reader] = {
    "an array": Reader(_npy, "v1.npy", _array(np.save, arr=VALUES)),
    "arrays": Reader(_npz, "v1.npz", _array(np.savez_compressed, features=VALUES)),
    "captions in a zip": Reader(
        lambda path: list(read_captions(path, 2.0, WRITER)), "c.zip", _zip({"a/v1.jsonl": _CLIPS, "a/v2.jsonl": _CLIPS})
    ),
}
"""Readers of what is no text, whose files are made in memory."""


def hdf5(folder: Path) -> dict[str, Reader]:
    """Readers of HDF5, whose files are made in a folder."""
    with h5py.File(folder / "layout.h5", "w") as file:
        file["v1"] = VALUES
    rows = [(key, {"features": VALUES, "times": np.arange(3.0)}) for key in ("v1", "v2")]
    write_store(folder / "store.h5", rows, {"by": "a test"})
    return {
        "features in HDF5": Reader(_hdf5, "f.hdf5", (folder / "layout.h5").read_bytes()),
        "a store": Reader(_store, "s.h5", (folder / "store.h5").read_bytes()),
    }
