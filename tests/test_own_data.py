"""docs/own_data.md, followed to the letter in an empty folder."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from src.commands.prepare import prepare
from src.commands.train import train
from src.data.narratives import read_narratives
from src.errors import UserError
from tests.compose import compose
from tests.test_extending import EXAMPLE, PROJECT, run

PAGE = (PROJECT / "docs" / "own_data.md").read_text()
COMMANDS = re.findall(r"^    python (.*)$", PAGE, re.MULTILINE)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's files, and what its first command writes."""
    monkeypatch.chdir(tmp_path)
    for name in ("TEA_DATA", "TEA_FEATURES", "TEA_STORES"):
        monkeypatch.delenv(name, raising=False)
    for name, text in EXAMPLE.findall(PAGE):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run([sys.executable, *COMMANDS[0].split()], check=True)
    return tmp_path


def test_from_nothing_to_tea_trained(place: Path) -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert (place / "mine" / "data" / "pets" / "test.json").read_text().startswith(shown.rstrip())
    small = ["trainer=cpu", "predictor.network.hidden=16", "predictor.network.heads=2", "loader.workers=0"]
    mine = ["hydra.searchpath=[file://mine/conf]", f"folder={place}/run", *small]
    for words, command in zip(COMMANDS[1:], (prepare, train), strict=True):
        module, *overrides = (word for word in words.removeprefix("-m src.").split() if not word.endswith("/conf"))
        overrides.remove("--config-dir")
        command(compose(*overrides, *mine, config=module))
    metrics = json.loads((place / "run" / "metrics.json").read_text())
    assert 0 <= metrics["test/test/mIoU"] <= 100
    stores = sorted(path.name for path in (place / "mine" / "data" / "stores" / "pets").glob("*.h5"))
    assert stores == ["features.clip.max128.h5", "narratives.friends.learned.h5", "queries.pets.learned.h5"]
    file = place / "mine" / "data" / "stores" / "narratives" / "pets" / "friends.jsonl"
    assert {one.writer["narrator"] for one in read_narratives(file)} == {"friends"}
    assert len(list(read_narratives(file))) == 20


@pytest.mark.slow
def test_its_commands(place: Path) -> None:
    for words in COMMANDS[1:]:
        done = run(place, *words.removeprefix("-m ").split(), "trainer=cpu")
        assert done.returncode == 0, done.stderr
    assert re.search(r"^test +\d", done.stdout, re.MULTILINE)


def test_captions_are_not_filed_under_a_model_that_did_not_write_them(place: Path) -> None:
    settings = ["data=pets", "hydra.searchpath=[file://mine/conf]", "paths.data=mine/data", "features=none"]
    cfg = compose(*settings, "import_narratives=mine/captions.csv", "folder=a", config="prepare")
    with pytest.raises(UserError, match="would count as written by llava_13b: say whose captions they are"):
        prepare(cfg)
    assert not list(place.rglob("llava_13b*"))


def test_the_data_sets_config_is_short() -> None:
    (text,) = (text for name, text in EXAMPLE.findall(PAGE) if name.endswith("data/pets.yaml"))
    assert len(text.splitlines()) <= 10
    assert yaml.safe_load(text)["name"] == "pets"
