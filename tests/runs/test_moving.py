"""A run that was trained in one place is used in another; what came from somebody else chooses no code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from src.commands.evaluate import evaluate
from src.commands.prepare import make_stores
from src.commands.train import train
from src.errors import UserError
from src.retrieval import Retriever
from src.runs.checkpoints import best_checkpoint
from src.runs.folder import finished_value
from src.runs.reading import find_runs
from tests.compose import compose
from tests.synthetic import write_small

PROJECT = Path(__file__).parents[2]
QUICK = ["trainer=cpu", "trainer.max_epochs=1", "+trainer.enable_progress_bar=false", "loader.batch_size=8"]
SMALL = ["predictor.network.hidden=16", "predictor.network.heads=2", "loader.workers=0"]


class Moved(NamedTuple):
    """A run that was trained on data that are gone, and where run and data lie now."""

    run: Path
    data: Path
    trained: list[str]
    """The overrides that it was trained with, but for its places."""


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Moved:
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    write_small(here / "data", videos=4)
    trained = ["+experiment=charades_cd_i3d", *SMALL, *QUICK]
    paths = [f"paths.data={here}/data", f"paths.outputs={here}/outputs"]
    make_stores(compose(*trained, *paths, config="prepare"))
    train(compose(*trained, *paths, f"folder={here}/run", config="train"))
    shutil.move(here / "run", there / "run")
    shutil.move(here / "data", there / "data")
    assert list(here.iterdir()) == []
    return Moved(there / "run", there / "data", trained)


def metrics(folder: Path) -> dict[str, float]:
    values: dict[str, float] = json.loads((folder / "metrics.json").read_text())
    return values


def scores_of(folder: Path, split: str) -> dict[str, float]:
    return {name: value for name, value in metrics(folder).items() if name.startswith(f"test/{split}/")}


def command(place: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m src.evaluate` of a user who works in `place`."""
    return subprocess.run(
        [sys.executable, "-m", "src.evaluate", *words],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_run_is_evaluated_from_another_folder_and_another_place_of_the_data(moved: Moved, tmp_path: Path) -> None:
    done = command(tmp_path, f"checkpoint={moved.run}", "trainer=cpu", "hydra.run.dir=again", TEA_DATA=str(moved.data))
    assert done.returncode == 0, done.stderr
    assert metrics(tmp_path / "again") == scores_of(moved.run, "test_iid") | scores_of(moved.run, "test_ood")
    for split in ("test_iid", "test_ood"):
        file = f"predictions/{split}.jsonl"
        assert (tmp_path / "again" / file).read_bytes() == (moved.run / file).read_bytes()


def evaluated(moved: Moved, folder: Path, *overrides: str) -> dict[str, float]:
    words = [f"checkpoint={moved.run}", f"paths.data={moved.data}", "trainer=cpu", *overrides]
    return evaluate(compose(*words, f"folder={folder}", config="evaluate"), words)


def test_every_path_follows_the_one_that_is_given(moved: Moved, tmp_path: Path) -> None:
    assert evaluated(moved, tmp_path, "split=test_ood") == scores_of(moved.run, "test_ood")
    kept = yaml.safe_load((tmp_path / "config.yaml").read_text())
    groups = {key: kept[key] for key in ("paths", "data", "features", "text")}
    within = [value for value in leaves(groups) if value.startswith("/")]
    assert len(within) > 5
    # Run folders have a path of their own, which is not below the data's.
    assert all(value.startswith(str(moved.data)) for value in within if not value.endswith("outputs"))


def leaves(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [leaf for value in node.values() for leaf in leaves(value)]
    return [node] if isinstance(node, str) else []


def test_a_run_is_the_same_wherever_its_files_lie(moved: Moved) -> None:
    elsewhere = [f"paths.data={moved.data}", "paths.outputs=/nowhere", f"folder={moved.run}"]
    value = finished_value(moved.run, compose(*moved.trained, *elsewhere, config="train"), longer=False)
    assert value == metrics(moved.run)["best/val/mIoU"]
    with pytest.raises(UserError, match="finished run of another configuration: seed is 0 there and 1 here"):
        finished_value(moved.run, compose(*moved.trained, *elsewhere, "seed=1", config="train"), longer=False)


@pytest.mark.parametrize(
    "override",
    ["metrics.strict=true", "loader.eval_batch_size=1", "top=3", "data.name=charades_cd", "name=other"],
)
def test_what_does_not_touch_the_network_applies(moved: Moved, tmp_path: Path, override: str) -> None:
    values = evaluated(moved, tmp_path, "split=test_ood", override)
    key, value = override.split("=")
    kept: Any = yaml.safe_load((tmp_path / "config.yaml").read_text())
    for name in key.split("."):
        kept = kept[name]
    assert str(kept).lower() == value
    assert values.keys() == scores_of(moved.run, "test_ood").keys()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("+recipe=emb", "+recipe=emb cannot apply"),
        ("+experiment=anet_i3d", "+experiment=anet_i3d cannot apply"),
        ("++predictor.network.hidden=32", "predictor.network.hidden is 16 there and 32 here"),
        ("~match", "~match cannot apply"),
        ("predictor=qd_detr", "predictor.name is emb there and qd_detr here"),
        ("merger=none", "merger.name is concat_mlp there and none here"),
        ("merger.network.dropout=0.7", "merger.network.dropout is 0.2 there and 0.7 here"),
        ("text=minilm", "text.dim is 300 there and 384 here"),
        ("features.dim=12", "features.dim is 1024 there and 12 here"),
        ("paragraph.network.alpha=0.9", "paragraph.network.alpha is"),
    ],
)
def test_what_cannot_apply_is_refused_in_one_line(moved: Moved, tmp_path: Path, override: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        evaluated(moved, tmp_path / "none", override)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "none").exists()


def altered(moved: Moved, place: Path, **changes: Any) -> Path:
    """A copy of the run's best checkpoint with other contents; None takes one away."""
    checkpoint = torch.load(best_checkpoint(moved.run), weights_only=True)
    checkpoint = {key: value for key, value in (checkpoint | changes).items() if value is not None}
    torch.save(checkpoint, place / "altered.ckpt")
    return place / "altered.ckpt"


def test_a_checkpoint_of_an_earlier_version_is_refused_with_what_to_do(moved: Moved, tmp_path: Path) -> None:
    file = altered(moved, tmp_path, configuration=None)
    with pytest.raises(UserError, match="with that version, or train it again") as caught:
        Retriever.load(file, overrides=[f"paths.data={moved.data}"])
    assert "\n" not in str(caught.value)


def test_a_run_folder_of_an_earlier_version_is_reported_and_not_run_over(moved: Moved, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(moved.run, old)
    (old / "composed.yaml").unlink()
    (run,), notes = find_runs([old])
    assert notes == []
    assert run.metrics == metrics(moved.run)
    with pytest.raises(UserError, match="of an earlier version: give another folder, or delete it"):
        finished_value(old, compose(*moved.trained, f"folder={old}", config="train"), longer=False)


def test_a_hostile_checkpoint_runs_nothing(moved: Moved, tmp_path: Path) -> None:
    checkpoint = torch.load(best_checkpoint(moved.run), weights_only=True)
    composed = checkpoint["configuration"]["composed"]
    composed["optimizer"] = {"_target_": "os.system", "command": "touch OWNED"}
    file = altered(moved, tmp_path, configuration=checkpoint["configuration"])
    with pytest.raises(UserError, match=r"names optimizer\._target_=os\.system"):
        Retriever.load(file, overrides=[f"paths.data={moved.data}"])
    assert not Path("OWNED").exists()


def test_a_checkpoint_chooses_no_server_and_no_path(moved: Moved, tmp_path: Path) -> None:
    checkpoint = torch.load(best_checkpoint(moved.run), weights_only=True)
    before = checkpoint["configuration"]["composed"]

    def loaded(**groups: Any) -> Retriever:
        configuration = checkpoint["configuration"] | {"composed": before | groups}
        file = altered(moved, tmp_path, configuration=configuration)
        return Retriever.load(file, overrides=[f"paths.data={moved.data}"])

    for key in ("name", "train", "videos"):
        with pytest.raises(UserError, match=rf"data.{key}=\.\./up, which is a path, not a name"):
            loaded(data=before["data"] | {key: "../up"})
    server = ["narrator=endpoint", "narrator.name=a", "narrator.model=b", "narrator.url=http://a"]
    retriever = loaded(narrator=OmegaConf.to_container(compose(*server, config="train").narrator))
    assert OmegaConf.is_missing(retriever.parts.cfg.narrator, "url")
    assert OmegaConf.is_missing(retriever.parts.cfg.narrator, "key")
    assert OmegaConf.is_missing(retriever.parts.cfg.narrator, "model")
