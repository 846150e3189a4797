"""The examples of docs/adding.md: a merger, a predictor, a training method and a metric in a package of the user's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra.core.hydra_config import HydraConfig

from src.commands.prepare import make_stores
from src.errors import UserError
from src.retrieval import Retriever
from src.runs.configuration import configuration
from tests.compose import CONF, compose
from tests.synthetic import write_small

PROJECT = Path(__file__).parents[1]
PAGE = (PROJECT / "docs" / "adding.md").read_text()
EXAMPLE = re.compile(r"^`(mine/\S+)`\n\n```\w+\n(.*?)```$", re.MULTILINE | re.DOTALL)


def run(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of a user who works in `place`."""
    environment = os.environ | {"PYTHONPATH": f"{PROJECT}{os.pathsep}{place}", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=place, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the examples in it."""
    place = tmp_path_factory.mktemp("place")
    for name, text in EXAMPLE.findall(PAGE):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    return place


@pytest.fixture(scope="module")
def trained(place: Path) -> Path:
    """The folder of a run by the documented command, on a small data set."""
    small = [each for each in write_small(place / "data") if "predictor.network.heads" not in each]
    (command,) = re.findall(r"^    python -m (src\.train --config-dir .*)$", PAGE, re.MULTILINE)
    make_stores(compose("+experiment=charades_cd_i3d", *small, config="prepare"))
    done = run(place, *command.split(), *small, f"hydra.run.dir={place}/run")
    assert done.returncode == 0, done.stderr
    return place / "run"


def test_each_is_one_file_and_one_config() -> None:
    names = [name for name, _ in EXAMPLE.findall(PAGE)]
    assert len(names) == 8
    assert [Path(name).stem for name in names[::2]] == [Path(name).stem for name in names[1::2]]


def test_they_train_together_and_are_measured(trained: Path) -> None:
    metrics = json.loads((trained / "metrics.json").read_text())
    for split in ("test_iid", "test_ood"):
        assert 0 <= metrics[f"test/{split}/S@1s"] <= metrics[f"test/{split}/S@3s"] <= 100
        assert f"test/{split}/R1@0.5" in metrics
    logged = (trained / "metrics" / "version_0" / "metrics.csv").read_text().splitlines()[0]
    assert {"train/inside", "train/masked_inside", "train/edges", "val/S@3s"} <= set(logged.split(","))


def test_their_checkpoint_is_evaluated_where_their_configs_are(place: Path, trained: Path) -> None:
    paths = [f"paths.{name}={place}/data/{name}" for name in ("features", "stores", "outputs")]
    words = [f"checkpoint={trained}", f"paths.data={place}/data", *paths, "trainer=cpu", "split=test_ood"]
    mine = ["--config-dir", "mine/conf", "metrics=starts", "hydra.run.dir=again"]
    known = run(place, "src.evaluate", *mine, *words)
    assert known.returncode == 0, known.stderr
    before = json.loads((trained / "metrics.json").read_text())
    after = json.loads((place / "again" / "metrics.json").read_text())
    assert after
    assert after == {name: before[name] for name in after}


def test_a_script_builds_what_a_config_names(place: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (script,) = re.findall(r"```python\n(from src.build.*?)```", PAGE, re.DOTALL)
    for name in ("", "features", "stores"):
        monkeypatch.setenv(f"TEA_{(name or 'data').upper()}", str(place / "data" / name))
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.chdir(place)
    found: dict[str, Any] = {}
    exec(script, found)
    assert found["model"].network is found["network"]
    assert found["model"].configuration["resolved"]["folder"] == "."
    assert len(found["data"].train) == 24
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)  # which a command run here before has left
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        bare = hydra.compose("train")
    with pytest.raises(UserError, match=r"in a script compose with src\.build\.compose, or give folder=FOLDER"):
        configuration(bare)


def test_in_python_their_config_folder_is_named(place: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.chdir(place)
    paths = [f"paths.data={place}/data", f"paths.features={place}/data/features", f"paths.stores={place}/data/stores"]
    retriever = Retriever.load(trained, overrides=paths, conf=["mine/conf"])
    record = json.loads((trained / "predictions" / "test_ood.jsonl").read_text().split("\n")[0])
    (answer,) = retriever.retrieve(retriever.encode(record["video"], record["duration"]), [record["query"]], top=10)
    found = [[moment.start, moment.end] for moment in answer.moments]
    assert found == [pytest.approx(window[:2], abs=1e-3) for window in record["predictions"]]
    with pytest.raises(UserError, match="which conf/ of this installation does not"):
        Retriever.load(trained, overrides=paths)
