"""What a run folder and a checkpoint are trusted with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import hydra
import pytest
from omegaconf import DictConfig, OmegaConf

from src.errors import UserError
from src.runs.checkpoints import require_same_run
from src.runs.configuration import changed_settings, configuration
from src.runs.folder import (
    STATUS,
    RunFolder,
    drop_attempt,
    finished_value,
    is_busy,
    read_status,
    require_plain_yaml,
)
from src.runs.sweeps import swapped
from tests.compose import compose

PROJECT = Path(__file__).parents[2]


def config(folder: Path, *overrides: str) -> DictConfig:
    return compose(f"folder={folder}", *overrides, config="train")


def finish(folder: Path, *overrides: str) -> None:
    with RunFolder(folder, config(folder, *overrides)) as run:
        run.metrics({"best/val/mIoU": 12.5})


def test_a_finished_run_is_known_by_all_of_its_settings(tmp_path: Path) -> None:
    finish(tmp_path)
    assert finished_value(tmp_path, config(tmp_path), longer=False) == 12.5
    for override, changed in (
        ("seed=1", "seed is 0 there and 1 here"),
        ("match=cosine", "match.name is none there and cosine here"),
        ("optimizer.lr=0.1", "optimizer.lr is 0.0005 there and 0.1 here"),
        ("+optimizer.foreach=true", "optimizer.foreach is None there and True here"),
        ("+callbacks.own={_target_: own}", "callbacks.own._target_ is None there and own here"),
        ("+own=1", "own is None there and 1 here"),
    ):
        with pytest.raises(UserError) as caught:
            finished_value(tmp_path, config(tmp_path, override), longer=False)
        assert f"finished run of another configuration: {changed}" in str(caught.value)


def test_a_run_that_is_to_go_on_has_no_value_yet(tmp_path: Path) -> None:
    assert finished_value(tmp_path / "none", config(tmp_path), longer=False) is None
    run = RunFolder(tmp_path, config(tmp_path))
    run.__enter__()
    assert finished_value(tmp_path, config(tmp_path), longer=False) is None
    run.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert read_status(tmp_path) == {**json.loads((tmp_path / STATUS).read_text()), "reason": "interrupted (Ctrl-C)"}
    assert finished_value(tmp_path, config(tmp_path), longer=False) is None
    finish(tmp_path)
    # Another length goes on where it is asked for, and with it alone.
    more = config(tmp_path, "trainer.max_epochs=3")
    assert finished_value(tmp_path, more, longer=True) is None
    assert finished_value(tmp_path, config(tmp_path), longer=True) == 12.5
    for cfg, longer in ((more, False), (config(tmp_path, "trainer.max_epochs=3", "seed=1"), True)):
        with pytest.raises(UserError, match="finished run of another configuration"):
            finished_value(tmp_path, cfg, longer)


def test_a_run_that_was_not_tested_is_tested_where_that_is_asked_for(tmp_path: Path) -> None:
    finish(tmp_path, "test=false")
    assert finished_value(tmp_path, config(tmp_path, "test=false"), longer=False) == 12.5
    assert finished_value(tmp_path, config(tmp_path), longer=False) is None
    finish(tmp_path)
    assert finished_value(tmp_path, config(tmp_path, "test=false"), longer=False) == 12.5


def test_one_command_writes_to_a_folder_at_a_time(tmp_path: Path) -> None:
    assert not is_busy(tmp_path)
    with RunFolder(tmp_path, config(tmp_path)):
        assert is_busy(tmp_path)
        with pytest.raises(UserError, match="another command is writing to"):
            RunFolder(tmp_path, config(tmp_path)).__enter__()
    assert not is_busy(tmp_path)
    assert read_status(tmp_path) is not None


@pytest.mark.parametrize(
    ("content", "said"),
    [("[]", "holds no settings by name"), ('{"state": 3}', "its state is no word"), ("{", "not JSON")],
)
def test_a_damaged_status_is_told(tmp_path: Path, content: str, said: str) -> None:
    assert read_status(tmp_path) is None
    (tmp_path / STATUS).write_text(content)
    with pytest.raises(UserError, match=said):
        read_status(tmp_path)


def test_a_configuration_without_aliases_is_read(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    with pytest.raises(UserError, match="is not there"):
        require_plain_yaml(file)
    for text in ("a: 1\n", "a: [1, 2]\nb: {c: '&d'}\n"):
        file.write_text(text)
        assert require_plain_yaml(file) == text
    for text, said in (("a: &b [1]\nc: *b\n", "it has aliases"), ("a: [", "is damaged")):
        file.write_text(text)
        with pytest.raises(UserError, match=said):
            require_plain_yaml(file)


def test_a_setting_that_is_gone_is_a_change_too() -> None:
    def both(**content: Any) -> dict[str, Any]:
        return {"composed": content, "resolved": content}

    assert changed_settings(both(a=1, own=2), both(a=1)) == {"own": (2, None)}
    assert changed_settings(both(a=1), both(a=1, own=2)) == {"own": (None, 2)}
    assert changed_settings(both(a=1, paths={"data": "x"}), both(a=1, paths={"data": "y"})) == {}
    # What is written alike is alike, and what has the same value.
    before = {"composed": {"a": "${b}", "c": 1}, "resolved": {"a": 1, "c": 1}}
    now = {"composed": {"a": "${b}", "c": "${d}"}, "resolved": {"a": 2, "c": 1}}
    assert changed_settings(before, now) == {}
    # A group by its whole name.
    assert changed_settings(both(test=1, tests=1), both(test=2, tests=2)) == {"tests": (1, 2)}
    assert changed_settings(both(b={"c": {"d": 1}}, a=1), both(b={"c": {"d": 2}}, a=2)) == {
        "a": (1, 2),
        "b.c.d": (1, 2),
    }


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("match=cosine", "match.name is none there and cosine here"),
        ("paragraph=none", "paragraph.name is query there and none here"),
        ("paragraph.network.alpha=0.1", "paragraph.network.alpha is"),
        ("features=vgg", "features.dim is 1024 there and 4096 here"),
        ("predictor.network.heads=4", "predictor.network.heads is 8 there and 4 here"),
        ("+merger.network.own=1", "merger.network.own is None there and 1 here"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path, override: str, expected: str) -> None:
    checkpoint: dict[str, Any] = {"configuration": configuration(config(tmp_path))}
    require_same_run(checkpoint, config(tmp_path, "trainer.max_epochs=3", "paths.data=/x"), Path("x.ckpt"))
    with pytest.raises(UserError) as caught:
        require_same_run(checkpoint, config(tmp_path, override), Path("x.ckpt"))
    assert expected in str(caught.value)


def test_a_failure_keeps_its_reason_and_a_run_its_settings(tmp_path: Path) -> None:
    def status() -> dict[str, Any]:
        content: dict[str, Any] = json.loads((tmp_path / "status.json").read_text())
        return content

    run = RunFolder(tmp_path, config(tmp_path))
    run.__enter__()
    assert status()["state"] == "running"
    run.__exit__(UserError, UserError("no features"), None)
    assert (status()["state"], status()["reason"]) == ("failed", "no features")
    run = RunFolder(tmp_path, config(tmp_path))
    run.__enter__()
    run.__exit__(ValueError, ValueError("a defect"), None)
    assert status()["reason"] == "ValueError: a defect"
    finish(tmp_path)
    assert status()["state"] == "finished"
    resolved, composed = (OmegaConf.load(tmp_path / name) for name in ("config.yaml", "composed.yaml"))
    assert resolved.folder == composed.folder == str(tmp_path)
    assert "${" not in (tmp_path / "config.yaml").read_text()
    assert "${paths.stores}" in (tmp_path / "composed.yaml").read_text()


@pytest.mark.parametrize("name", ["metrics.json", "status.json", "predictions.jsonl", "network.ckpt"])
def test_a_full_disk_keeps_the_file_that_was_there(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text("what was there")
    code = f"""
import resource, signal
from pathlib import Path
from types import SimpleNamespace
import torch
from src.data.records import Moment
from src.runs.checkpoints import write_network
from src.runs.folder import write_json
from src.runs.predictions import Prediction, write_predictions

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
file = Path({str(file)!r})
if file.suffix == ".json":
    write_json(file, list(range(1000)))
elif file.suffix == ".jsonl":
    moments = [Moment(str(i), "v", "a query", ((0.0, 1.0),), 2.0) for i in range(100)]
    write_predictions(file, [Prediction(str(i), ((0.0, 1.0, 1.0),)) for i in range(100)], moments, "test")
else:
    network = torch.nn.Linear(100, 100)
    network.progress = 1.0
    write_network(file, network, {{}})
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert file.read_text() == "what was there"


@pytest.mark.slow
def test_an_attempt_that_failed_leaves_no_folder_and_a_name_says_what_was_swapped(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "src.train", "+experiment=charades_cd_i3d", "merger=add", "paragraph=none"]
    places = [f"paths.{name}={tmp_path}/{name}" for name in ("data", "features", "stores", "outputs")]
    done = subprocess.run([*command, *places], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "no annotation file" in done.stderr
    assert not list(tmp_path.rglob("status.json"))
    assert swapped(["+experiment=a", "merger=add", "seed=3", "+recipe=emb"]) == "_merger=add_recipe=emb"
    with hydra.initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        cfg = hydra.compose("train", ["merger=add"], return_hydra_config=True)
    assert cfg.hydra.run.dir.endswith("_merger=add")


def test_an_attempt_is_dropped_only_where_there_is_nothing_else(tmp_path: Path) -> None:
    for kept in ("checkpoints/best.ckpt", "notes.txt", "metrics.json"):
        folder = tmp_path / kept.replace("/", "-")
        run = RunFolder(folder, config(folder))
        run.__enter__()
        drop_attempt(folder)
        assert (folder / "status.json").is_file()  # another command is writing there
        run.__exit__(UserError, UserError("no features"), None)
        (folder / kept).parent.mkdir(exist_ok=True)
        (folder / kept).touch()
        drop_attempt(folder)
        assert (folder / "status.json").is_file()
        (folder / kept).unlink()
        drop_attempt(folder)
        assert not folder.exists()
