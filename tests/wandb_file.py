"""Reads the file in which wandb records a run: LevelDB's log format, in blocks of 32 KiB, of protobuf records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record, RunRecord

_BLOCK = 32768
_FILE_HEADER = 7
_HEADER = 7  # of a chunk: checksum (4), length (2), kind (1)
_WHOLE, _LAST = 1, 4  # kinds; between them a first and middle ones


def records(path: Path) -> Iterator[Record]:
    """The records of a run-*.wandb file, in order."""
    content, place, parts = path.read_bytes(), _FILE_HEADER, b""
    while place + _HEADER <= len(content):
        left = _BLOCK - place % _BLOCK
        if left < _HEADER:  # too little for a header: zeros to the end of the block
            place += left
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        place += _HEADER + length
        parts += content[place - length : place]
        if kind in (_WHOLE, _LAST):
            yield Record.FromString(parts)
            parts = b""


@dataclass
class RecordedRun:
    """What a run's file says of it."""

    run: RunRecord = field(default_factory=RunRecord)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    artifacts: dict[str, set[str]] = field(default_factory=dict)  # the paths of each, by its type
    exit_code: int | None = None


def read_run(path: Path) -> RecordedRun:
    """Read one run."""
    found = RecordedRun()
    for record in records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found.run = record.run
        elif kind == "config":
            _update(found.config, record.config.update)
        elif kind == "summary":
            _update(found.summary, record.summary.update)
        elif kind == "history":
            found.history.append({})
            _update(found.history[-1], record.history.item)
        elif kind == "artifact":
            paths = {entry.path for entry in record.artifact.manifest.contents}
            found.artifacts.setdefault(record.artifact.type, set()).update(paths)
        elif kind == "exit":
            found.exit_code = record.exit.exit_code
    return found


def _update(values: dict[str, Any], items: Any) -> None:
    for item in items:
        values[item.key or ".".join(item.nested_key)] = json.loads(item.value_json)
