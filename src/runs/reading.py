"""Run folders, read for a report: what was run, its metrics, and how each query of each test split was answered."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from src.data.records import LONGEST
from src.errors import UserError, reason
from src.files import is_number, parse_json, read_csv, read_lines
from src.moments import iou
from src.places import Places
from src.runs.folder import CONFIG, STATUS, read_json, read_status, require_plain_yaml

# In C where PyYAML has it: nine times as fast, which tells in a report of a hundred runs.
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Settings in which runs may differ without being another variant.
_NOT_A_VARIANT = (
    *("seed", "folder", "name", "test", "top", "ckpt_path", "predictions", "checkpoint", "split", "features.store"),
    *("paths.", "data.", "logger.", "callbacks.", "loader.", "trainer.", "metrics.", "baseline."),
)

# Of what is shown in tables, figures and names of files.
_LONGEST_NAME = 300


@dataclass(frozen=True)
class Answers:
    """How a run answered the n queries of a split.

    Attributes:
        path: The predictions file.
        ids: The queries' ids.
        ious: (n,) IoU of the first moment with the best-matching annotated one.
        first: (n, 2) that first moment, in seconds.
        truth: (n, 2) the annotated moment it matches best.
        duration: (n,) of the videos, in seconds.
    """

    path: Path
    ids: list[str]
    ious: NDArray[np.float64]
    first: NDArray[np.float64]
    truth: NDArray[np.float64]
    duration: NDArray[np.float64]

    def records(self, indices: Iterable[int]) -> list[dict[str, Any]]:
        """The lines of some queries, in the order of `indices`, from the file: all of them would fill the memory."""
        wanted = list(indices)
        lines = enumerate(read_lines(self.path))
        found = {number: parse_json(line, where) for number, (where, _, line) in lines if number in wanted}
        return [found[index] for index in wanted]

    def by_novelty(self) -> dict[str, NDArray[np.intp]]:
        """The indices of the queries that have something novel of each kind, as Charades-CG has NOUN; from the file."""
        found: dict[str, list[int]] = {}
        for number, (where, _, line) in enumerate(read_lines(self.path)):
            for kind in dict.fromkeys(kind for kind, _ in parse_json(line, where).get("novel", ())):
                found.setdefault(kind, []).append(number)
        return {kind: np.array(indices) for kind, indices in found.items()}


@dataclass
class Run:
    """A finished run.

    Attributes:
        folder: its run folder.
        config: its configuration.
        metrics: by name, in percent.
        environment: what it ran on.
        variant: what tells it from the other runs of a report, its seed aside.
    """

    folder: Path
    config: dict[str, Any]
    metrics: dict[str, float]
    environment: dict[str, Any]
    variant: str = ""

    @property
    def data(self) -> str:
        """Title of the data set."""
        return str(self.config["data"]["title"])

    @property
    def seed(self) -> int:
        return int(self.config["seed"])

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The settings by dotted name."""
        return dict(_leaves(self.config))

    def has(self, settings: Mapping[str, str]) -> bool:
        """Whether it is a trained network with these settings, named as on the command line: merger=add.

        A group goes by the name of its choice. What was evaluated in place of a network has no settings of its own.
        """
        chosen = {key: self.settings.get(f"{key}.name", self.settings.get(key)) for key in settings}
        return self.source is None and all(_value(chosen[key]) == value for key, value in settings.items())

    @property
    def source(self) -> str | None:
        """What was evaluated in place of a network that was trained here."""
        if self.config.get("baseline"):
            return str(self.config["baseline"]["_target_"]).rsplit(".", 2)[-2]
        if self.config.get("predictions"):
            name = str(self.config["name"])
            return name if name != self.config["data"]["name"] else Path(self.config["predictions"]).stem
        return None

    @property
    def splits(self) -> list[str]:
        """The test splits that have a predictions file, and answers that they were scored against."""
        answered = sorted(path.stem for path in (self.folder / "predictions").glob("*.jsonl"))
        return [split for split in answered if any(name.startswith(f"test/{split}/") for name in self.metrics)]

    def curve(self, name: str) -> dict[int, float]:
        """The values of a metric that was logged while training, by epoch; none where it was not.

        Raises:
            UserError: the log is broken; it names the line.
        """
        values: dict[int, float] = {}
        for path in sorted((self.folder / "metrics").glob("*/metrics.csv")):
            for where, row in read_csv(path, ("epoch", "step")):
                try:
                    if row.get(name):
                        values[int(row["epoch"])] = float(row[name])
                except ValueError as error:
                    raise UserError(f"{where}: not a line of metrics ({reason(error)})") from error
        return values

    def answers(self, split: str) -> Answers:
        """The answers of a split, read from its file, and not kept: a report has many runs.

        Raises:
            UserError: the predictions file is broken; it names the line.
        """
        return read_answers(self.folder / "predictions" / f"{split}.jsonl")


def read_answers(path: Path) -> Answers:
    """Read a predictions file of a run folder.

    Raises:
        UserError: a line is broken; it names the line.
    """
    ids: list[str] = []
    first: list[tuple[float, float]] = []
    windows: list[tuple[float, float]] = []
    counts: list[int] = []
    duration: list[float] = []
    for where, _, line in read_lines(path):
        record = parse_json(line, where, "a prediction")
        try:
            start, end = record["predictions"][0][:2]
            annotated = [(start, end) for start, end in record["windows"]]
            if not annotated:
                raise ValueError("it has no annotated window")
            if not all(is_number(x) and abs(x) <= LONGEST for x in (start, end, *itertools.chain(*annotated))):
                raise ValueError("a time in it is not in seconds of a video")
            if not is_number(record["duration"]) or not 0 < record["duration"] <= LONGEST:
                raise ValueError("its duration is not in seconds above 0")
            if not all(isinstance(record[key], str) for key in ("query_id", "query", "video")):
                raise ValueError("its query_id, query and video are not text")
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise UserError(f"{where}: not a prediction ({reason(error)})") from error
        first.append((float(start), float(end)))
        windows += annotated
        counts.append(len(annotated))
        duration.append(float(record["duration"]))
        ids.append(record["query_id"])
    if not ids:
        raise UserError(f"{path} holds no prediction")
    predicted, truth = np.array(first), np.array(windows, dtype=np.float64)
    query = np.repeat(np.arange(len(ids)), counts)
    every = iou(torch.from_numpy(predicted[query]), torch.from_numpy(truth)).numpy()
    # Within a query by IoU: its last is its best.
    best = np.lexsort((every, query))[np.cumsum(counts) - 1]
    return Answers(path, ids, every[best], predicted, truth[best], np.array(duration))


def find_runs(places: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """The finished runs in folders, however deep, named by what tells them apart; and what is wrong with the others.

    Raises:
        UserError: a place does not exist, or there is no finished run in any.
    """
    runs: list[Run] = []
    problems: list[str] = []
    for place in places:
        if not place.exists():
            raise UserError(f"no run folder at {place}")
        folders = sorted(path.parent for path in place.rglob(STATUS))
        if not folders:
            problems.append(f"{place} holds no run")
        for folder in folders:
            try:
                runs.append(_read(folder))
            except UserError as error:
                problems.append(str(error))
    if not runs:
        raise UserError("no finished run to report: " + "; ".join(problems))
    _name(runs)
    return runs, problems


def _read(folder: Path) -> Run:
    """A finished run, all of whose files can be read."""
    status = read_status(folder) or {}
    if status.get("state") != "finished":
        because = f": {status['reason']}" if "reason" in status else ""
        raise UserError(f"{folder} is left out: {status.get('state')}{because}")
    try:
        config = _plain(yaml.load(require_plain_yaml(folder / CONFIG), Loader=_YAML))
        run = Run(folder, config, read_json(folder / "metrics.json"), read_json(folder / "environment.json"))
        _require_whole(run)
        for split in run.splits:
            run.answers(split)
        run.curve("val/mIoU")
    except (UserError, OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{folder} is left out: not a whole run folder ({reason(error)})") from error
    return run


def _plain(config: Any) -> dict[str, Any]:
    """A configuration of nothing but what JSON has too."""
    if not isinstance(config, dict):
        raise ValueError(f"{CONFIG} holds no settings")
    rest: list[Any] = [config]
    while rest:
        node = rest.pop()
        if isinstance(node, dict):
            if not all(isinstance(key, str) and key.isprintable() for key in node):
                raise ValueError(f"{CONFIG} has a setting without a name")
            rest += node.values()
        elif isinstance(node, list):
            rest += node
        elif not isinstance(node, str | int | float | None):
            raise ValueError(f"{CONFIG} holds a {type(node).__name__}")
    return config


def _require_whole(run: Run) -> None:
    """Raise a ValueError unless a run says all that a report shows of it, in words that can be shown."""
    config, machine = run.config, run.environment.get("machine")
    data = config.get("data")
    if not isinstance(data, dict) or not all(isinstance(data.get(key), str) for key in ("name", "title")):
        raise ValueError(f"{CONFIG} has no name and title of the data")
    if type(config.get("seed")) is not int or not isinstance(config.get("name"), str | int):
        raise ValueError(f"{CONFIG} has no name and seed")
    try:
        _ = run.source, Places(config).narratives
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{CONFIG} does not say {reason(error)}") from error
    if not isinstance(machine, dict) or not {"system", "cores"} <= machine.keys():
        raise ValueError("environment.json names no machine")
    if not isinstance(run.environment.get("commit"), str | None) or "changed" not in run.environment:
        raise ValueError("environment.json names no commit")
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in run.metrics.values()):
        raise ValueError("metrics.json has a metric that is no number")
    for name in (data["title"], *run.metrics, *run.splits):
        if not name.isprintable() or len(name) > _LONGEST_NAME:
            raise ValueError(f"a title, a metric or a split is named {name[:_LONGEST_NAME]!a}")


def _name(runs: Sequence[Run]) -> None:
    """Name each run by the settings in which the runs differ; groups go by their name."""
    keys = differing([run for run in runs if run.source is None])
    for run in runs:
        if run.source is not None:
            run.variant = run.source
        else:
            parts = [_setting(key, run.settings.get(key)) for key in keys]
            run.variant = " ".join(parts) or str(run.config["name"])
        run.variant = "".join(letter if letter.isprintable() else " " for letter in run.variant)[:_LONGEST_NAME]


def differing(runs: Sequence[Run]) -> list[str]:
    """The settings in which runs are different variants. What a group's choice brings with it is not among them."""
    values: dict[str, set[str]] = {}
    keys = {key for run in runs for key in run.settings if not key.startswith(_NOT_A_VARIANT)}
    for key in keys:
        values[key] = {json.dumps(run.settings.get(key)) for run in runs}
    varied = sorted(key for key, found in values.items() if len(found) > 1)
    if "recipe" in varied:
        varied.remove("recipe")
        # What a recipe brings with it goes without saying, and so does what a group's choice does.
        if all(run.settings.get("recipe") for run in runs):
            varied = ["recipe", *(key for key in varied if _varies(key, runs, "recipe"))]
    named = {key.split(".")[0] for key in varied if key.endswith(".name")}
    return [key for key in varied if key.endswith(".name") or _varies(key, runs, _group(key, named))]


def _group(key: str, named: set[str]) -> str | None:
    """The setting that names the choice of a setting's group, if runs differ in it."""
    group = key.split(".")[0]
    return f"{group}.name" if group in named else None


def _varies(key: str, runs: Sequence[Run], choice: str | None) -> bool:
    """Whether a setting differs among runs that agree in a choice."""
    found: dict[str, set[str]] = {}
    for run in runs:
        found.setdefault(str(choice and run.settings.get(choice)), set()).add(json.dumps(run.settings.get(key)))
    return any(len(values) > 1 for values in found.values())


def _setting(key: str, value: Any) -> str:
    if key.endswith("._target_") and value is not None:
        return f"{key.split('.')[-2]}={str(value).rsplit('.', 1)[-1]}"
    return f"{key.removesuffix('.name').rsplit('.', 1)[-1]}={_value(value)}"


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _leaves(value: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{prefix}.{name}".lstrip("."))
    else:
        yield prefix, value
