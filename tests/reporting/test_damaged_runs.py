"""One bad run folder never stops a report, and a stranger's run folder writes nowhere but in the output."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from src.commands.train import train
from src.errors import UserError
from src.reporting.page import write_report
from src.runs.reading import find_runs
from tests.compose import compose
from tests.test_readers import LEAVES, paths, replaced

QUERIES = 4


@cache
def configuration() -> dict[str, Any]:
    content: Any = OmegaConf.to_container(compose("folder=.", config="train"), resolve=True)
    return content


def write_run(folder: Path, config: Any = None, **metrics: float) -> Path:
    """A finished run, small and whole."""
    (folder / "predictions").mkdir(parents=True)
    (folder / "metrics" / "version_0").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(configuration() if config is None else config))
    (folder / "status.json").write_text(json.dumps({"state": "finished"}))
    values = {"test/test_ood/mIoU": 40.0, "test/test_ood/R1@0.5": 50.0, "best/val/mIoU": 41.0}
    (folder / "metrics.json").write_text(json.dumps(values | metrics))
    machine = {"system": "Linux", "cores": 2}
    (folder / "environment.json").write_text(json.dumps({"commit": "abc", "changed": False, "machine": machine}))
    (folder / "metrics" / "version_0" / "metrics.csv").write_text("epoch,step,val/mIoU\n0,1,40.0\n1,2,41.0\n")
    (folder / "predictions" / "test_ood.jsonl").write_text(
        "".join(json.dumps(record(i)) + "\n" for i in range(QUERIES))
    )
    return folder


def without_queries(folder: Path) -> None:
    """Leave out what a report draws most figures of."""
    (folder / "predictions" / "test_ood.jsonl").unlink()
    (folder / "metrics" / "version_0" / "metrics.csv").unlink()


def record(number: int) -> dict[str, Any]:
    return {
        "split": "test_ood",
        "query_id": f"v/{number}",
        "video": "v",
        "query": "a person sits",
        "duration": 10.0,
        "windows": [[1.0, 4.0]],
        "novel": [],
        "predictions": [[float(number), 5.0, 0.5]],
    }


def report(places: list[Path], output: Path, *overrides: str) -> str:
    listed = ",".join(map(str, places))
    return write_report(compose(f"runs=[{listed}]", f"output={output}", *overrides, config="report")).read_text()


def written(name: str, content: str | bytes) -> Callable[[Path], object]:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def configured(path: str, value: Any) -> Callable[[Path], object]:
    changed = replaced(configuration(), tuple(path.split(".")), value)
    return lambda folder: (folder / "config.yaml").write_text(yaml.safe_dump(changed))


def predicted(**changes: Any) -> Callable[[Path], object]:
    lines = [{key: value for key, value in (record(i) | changes).items() if value != "gone"} for i in range(QUERIES)]
    return written("predictions/test_ood.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


ALIASES = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))

DAMAGES: dict[str, Callable[[Path], object]] = {
    "a status that is a list": written("status.json", "[]"),
    "a status without state": written("status.json", "{}"),
    "a status that is cut": written("status.json", '{"state": "fin'),
    "metrics that are a list": written("metrics.json", "[1]"),
    "metrics that are text": written("metrics.json", '{"test/test_ood/mIoU": "high"}'),
    "a metric that is true": written("metrics.json", '{"test/test_ood/mIoU": true}'),
    "a metric that is nothing": written("metrics.json", '{"test/test_ood/mIoU": null}'),
    "metrics that are deep": written("metrics.json", "[" * 200_000),
    "an environment without machine": written("environment.json", "{}"),
    "an environment whose machine is text": written("environment.json", '{"machine": "mine"}'),
    "an environment whose commit is a number": written(
        "environment.json", '{"machine": {"system": 1, "cores": 2}, "commit": 3, "changed": true}'
    ),
    "an empty configuration": written("config.yaml", ""),
    "a configuration that is a list": written("config.yaml", "- 1\n"),
    "a configuration of bytes": written("config.yaml", b"\xff\xfe\x00"),
    "a configuration with a date": written("config.yaml", "data: 2026-01-01\n"),
    "aliases eight deep": written("config.yaml", ALIASES),
    "a configuration that is deep": written("config.yaml", "a: " + "[" * 5000),
    "a seed that is text": configured("seed", "one"),
    "a seed that is nothing": configured("seed", None),
    "data that is text": configured("data", "charades"),
    "no title": configured("data.title", None),
    "a title with an escape": configured("data.title", "a\x1b[2Jb"),
    "no paths": configured("paths", None),
    "a title without end": configured("data.title", "a" * 10_000),
    "a log of bytes": written("metrics/version_0/metrics.csv", b"\x00\xff" * 20),
    "a log of words": written("metrics/version_0/metrics.csv", "epoch,step,val/mIoU\nfirst,1,high\n"),
    "a log with a field without end": written("metrics/version_0/metrics.csv", "epoch,step\n" + "1" * 140_000),
    "predictions of bytes": written("predictions/test_ood.jsonl", b"\xff\x00"),
    "predictions that are empty": written("predictions/test_ood.jsonl", b""),
    "predictions without query": predicted(query="gone"),
    "predictions without video": predicted(video="gone"),
    "a duration of 0": predicted(duration=0),
    "a duration that is text": predicted(duration="10"),
    "a window of 10^400": predicted(windows=[[0, 10**400]]),
    "a window that is not a number": predicted(windows=[[0, float("nan")]]),
    "no window": predicted(windows=[]),
    "no predictions": predicted(predictions=[]),
}


def test_whole_runs_are_reported(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "one")
    page = report([tmp_path / "runs"], tmp_path / "out")
    assert "Charades-CD" in page
    assert "problems" not in page.split("<main>")[1]


def test_every_damaged_folder_is_left_out_with_one_line(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "good")
    for number, damage in enumerate(DAMAGES.values()):
        damage(write_run(tmp_path / "runs" / f"bad{number:02d}"))
    page = report([tmp_path / "runs"], tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out" / "runs.csv").open()))
    assert {Path(row["folder"]).name for row in rows} == {"good"}
    for number, name in enumerate(DAMAGES):
        folder = tmp_path / "runs" / f"bad{number:02d}"
        assert page.count(f"{folder}") == page.count(f"<li>{folder}") + page.count(f"({folder}"), name
        assert f"{folder}" in page, name


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_folder_alone_is_one_line(tmp_path: Path, name: str) -> None:
    DAMAGES[name](write_run(tmp_path / "bad"))
    with pytest.raises(UserError, match="no finished run to report") as caught:
        find_runs([tmp_path])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1500


@settings(max_examples=60)
@given(st.sampled_from(["metrics.json", "environment.json", "status.json"]), st.data())
def test_a_wrong_leaf_is_read_or_left_out(name: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = write_run(Path(place) / "run")
        content = json.loads((folder / name).read_text())
        path = data.draw(st.sampled_from(list(paths(content))))
        (folder / name).write_text(json.dumps(replaced(content, path, data.draw(LEAVES))))
        try:
            find_runs([folder])
        except UserError as error:
            said = str(error)
            assert str(folder) in said


@settings(max_examples=40)
@given(st.data())
def test_a_wrong_setting_is_read_or_left_out(data: st.DataObject) -> None:
    content = configuration()
    groups = ("data", "seed", "name", "paths", "narrator", "merger")
    keys = [path for path in paths(content) if path and path[0] in groups]
    changed = replaced(content, data.draw(st.sampled_from(keys)), data.draw(LEAVES.filter(plain)))
    with tempfile.TemporaryDirectory() as place:
        write_run(Path(place) / "runs" / "good")
        (write_run(Path(place) / "runs" / "own") / "config.yaml").write_text(yaml.safe_dump(changed))
        runs, problems = find_runs([Path(place) / "runs"])
        assert len(runs) + len(problems) == 2
        assert all(run.variant.isprintable() and run.data.isprintable() for run in runs)


def plain(leaf: Any) -> bool:
    """Whether YAML can say it."""
    try:
        return bool(yaml.safe_dump(leaf).encode())
    except UnicodeEncodeError:
        return False


TITLES = ["/tmp/owned", "../../owned", "..", "", "a/b", "a\\b", "x" * 299]


def test_whatever_a_title_says_every_file_lies_under_the_output(tmp_path: Path) -> None:
    for number, title in enumerate(TITLES):
        changed = replaced(configuration(), ("data", "title"), title)
        without_queries(write_run(tmp_path / "runs" / str(number), changed))
    runs = [path for path in tmp_path.rglob("*") if path.is_file()]
    report([tmp_path / "runs"], tmp_path / "out" / "page")
    made = [path for path in tmp_path.rglob("*") if path.is_file() and path not in runs]
    assert all(path.is_relative_to(tmp_path / "out" / "page") for path in made)
    assert all(set(path.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-") for path in made)
    # None was taken for another.
    assert sum(path.suffix == ".tex" for path in made) == len(TITLES)


def test_what_a_run_is_called_is_text_in_every_format(tmp_path: Path) -> None:
    hostile = r"\input{/etc/passwd} $\foo$ <script>alert(1)</script> a|b =1+1"
    for number, name in enumerate((hostile, "plain")):
        changed = replaced(configuration(), ("merger", "name"), name)
        write_run(tmp_path / "runs" / str(number), changed)
    page = report([tmp_path / "runs"], tmp_path / "out")
    assert "<script>" not in page
    tex = (tmp_path / "out" / "charades-cd.tex").read_text()
    assert r"\input" not in tex
    assert r"\textbackslash{}input\{/etc/passwd\}" in tex
    markdown = (tmp_path / "out" / "charades-cd.md").read_text()
    assert "<script>" not in markdown
    assert r"a\|b" in markdown
    for figure in (tmp_path / "out" / "figures").iterdir():
        assert "<script>" not in figure.read_text()


def test_a_text_that_a_spreadsheet_would_reckon_with_is_marked(tmp_path: Path) -> None:
    changed = replaced(configuration(), ("data", "title"), "=HYPERLINK(1)")
    without_queries(write_run(tmp_path / "run", changed))
    report([tmp_path / "run"], tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out" / "runs.csv").open()))
    assert {row["data"] for row in rows} == {"'=HYPERLINK(1)"}


FINISHED: dict[str, Callable[[Path], object]] = {
    "a status that is a list": written("status.json", "[]"),
    "no configuration": lambda folder: None,
    "an empty configuration": written("composed.yaml", ""),
    "a configuration of bytes": written("composed.yaml", b"\xff\x00"),
    "a configuration with aliases": written("composed.yaml", ALIASES),
    "a configuration that is deep": written("composed.yaml", "[" * 5000),
}


@pytest.mark.parametrize("name", FINISHED)
def test_a_damaged_finished_folder_is_one_line_in_train(tmp_path: Path, name: str) -> None:
    FINISHED[name](write_run(tmp_path / "run"))
    with pytest.raises(UserError, match=str(tmp_path / "run")) as caught:
        train(compose(f"folder={tmp_path}/run", config="train"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["[]", "{}", '{"best/val/mIoU": "high"}', "{", "\x00"])
def test_damaged_metrics_of_a_finished_run_are_one_line_in_train(tmp_path: Path, content: str) -> None:
    cfg = compose(f"folder={tmp_path}/run", config="train")
    write_run(tmp_path / "run")
    (tmp_path / "run" / "composed.yaml").write_text(OmegaConf.to_yaml(cfg))
    (tmp_path / "run" / "metrics.json").write_text(content)
    with pytest.raises(UserError, match=str(tmp_path / "run")):
        train(cfg)
