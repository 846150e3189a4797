"""No file runs code, reaches outside or asks anything of anybody, whichever door it comes in by."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.errors import UserError
from src.runs.configuration import moved_here
from src.runs.trust import conf_folders
from tests.compose import compose
from tests.runs.hostile import composed

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("attacks")
    (folder / "place").mkdir()
    (folder / "files").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.runs.attacks", str(folder / "files")],
        cwd=folder / "place",
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT), "TEA_SECRET": "s3cr3t"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert list((folder / "place").iterdir()) == []
    assert list(folder.rglob("OWNED")) == []
    assert "s3cr3t" not in done.stdout + done.stderr
    return done.stdout.splitlines()


def test_hostile_values_under_every_key_of_a_configuration_do_nothing(tried: list[str]) -> None:
    configurations, files = (int(word) for word in tried[-1].split() if word.isdecimal())
    assert configurations >= 1000
    assert files >= 25


@pytest.mark.parametrize("door", ["Retriever.load", "evaluate", "ckpt_path", "convert_checkpoint", "features"])
def test_every_door_says_in_a_line_what_it_does_not_open(tried: list[str], door: str) -> None:
    ends = [line.split("\t")[1] for line in tried[:-1] if line.startswith(door)]
    assert ends
    assert all(("/" in end and "hostile" in end) or "own.np" in end or "a_" in end for end in ends), ends


@pytest.mark.parametrize("model", ["stranger/model", "/home/stranger/model", "https://stranger/model"])
def test_a_model_is_only_loaded_at_the_users_own_word(model: str) -> None:
    hf = ["text=hf", "text.name=own", "text.dim=3"]
    theirs = composed(*hf, f"text.encoder.model={model}")
    cfg = compose("folder=.", config="evaluate")
    with pytest.raises(UserError, match=f"would load the model '{model}'"):
        moved_here(theirs, Path("x.ckpt"), cfg, (), conf_folders())
    chosen = [*hf, f"text.encoder.model={model}"]
    own = compose("folder=.", *chosen, config="evaluate")
    assert moved_here(theirs, Path("x.ckpt"), own, chosen, conf_folders()).text.encoder.model == model


def test_a_model_that_conf_names_is_loaded() -> None:
    cfg = compose("folder=.", config="evaluate")
    moved = moved_here(composed("text=clip"), Path("x.ckpt"), cfg, (), conf_folders())
    assert moved.text.encoder.model == "openai/clip-vit-base-patch32"
