"""A disk that fills up ends a command with one line that names the file, and leaves nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from src.commands.prepare import make_stores
from tests.compose import compose
from tests.retrieval.captions import settings, write_captions
from tests.synthetic import write_small

PROJECT = Path(__file__).parents[1]
_MOUNT = ["unshare", "--mount", "--map-root-user", "sh", "-c"]


def _can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*_MOUNT, "mount -t tmpfs tmpfs /mnt"], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not _can_mount(), reason="a small disk cannot be mounted here")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    overrides = write_small(tmp_path_factory.mktemp("small"), videos=4)
    make_stores(compose("+experiment=charades_cd_i3d", *overrides, config="prepare"))
    return [f"'{each}'" for each in overrides]


def run(folder: Path, kib: int, command: str, *overrides: str) -> tuple[int, str, dict[str, str]]:
    """Run a command whose outputs lie on a disk of `kib`; its exit status, what it said, and the files it left."""
    disk, kept = folder / "disk", folder / "kept"
    disk.mkdir()
    words = " ".join([f"hydra.run.dir={disk}/run", *overrides])
    script = (
        f"mount -t tmpfs -o size={kib}k tmpfs {disk} && {sys.executable} -m src.{command} {words}; status=$?; "
        f"cp -a {disk} {kept}; exit $status"
    )
    done = subprocess.run(
        [*_MOUNT, script],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    files = {str(path.relative_to(kept)): path.read_bytes() for path in kept.rglob("*") if path.is_file()}
    return done.returncode, done.stderr, {name: content.decode(errors="replace") for name, content in files.items()}


def require_one_line(folder: Path, code: int, said: str, files: dict[str, str]) -> str:
    assert code == 1, said
    assert "Traceback" not in said
    line = said.strip().splitlines()[-1]
    assert line.startswith(f"error: {folder}/disk/"), said
    assert "cannot be written (No space left on device)" in line
    assert not [name for name in files if ".part" in name]
    return line


def test_hydras_own_files(tmp_path: Path, small: list[str]) -> None:
    code, said, _ = run(tmp_path, 4, "evaluate", *small, "baseline=prior")
    assert code == 1
    assert said.startswith("error: the run folder cannot be written (No space left on device)")
    assert len(said.splitlines()) == 1


def test_predictions_and_the_status(tmp_path: Path, small: list[str]) -> None:
    code, said, files = run(tmp_path, 68, "evaluate", *small, "baseline=prior", "top=400")
    line = require_one_line(tmp_path, code, said, files)
    assert "predictions/test_iid.jsonl" in line
    status = json.loads(files["run/status.json"])
    assert status["state"] == "failed"
    assert "No space left" in status["reason"]


@pytest.mark.slow
def test_a_checkpoint_and_the_status(tmp_path: Path, small: list[str]) -> None:
    code, said, files = run(tmp_path, 400, "train", "+experiment=charades_cd_i3d", *small)
    require_one_line(tmp_path, code, said, files)
    assert json.loads(files["run/status.json"])["state"] == "failed"


@pytest.mark.slow
def test_a_store(tmp_path: Path, small: list[str]) -> None:
    narratives = small[2].strip("'").split("=")[1] + "/narratives"
    stores = [f"paths.stores={tmp_path}/disk/stores", f"paths.narratives={narratives}"]
    code, said, files = run(tmp_path, 300, "prepare", "+experiment=charades_cd_i3d", *small, *stores)
    line = require_one_line(tmp_path, code, said, files)
    assert "features.i3d" in line
    assert not [name for name in files if name.startswith("stores/")]


def test_an_index(tmp_path: Path) -> None:
    write_captions(tmp_path / "captions.json", {f"v{n}": [f"a red door {n} {k}" for k in range(40)] for n in range(40)})
    words = [f"'{word}'" for word in settings(tmp_path) if not word.startswith("paths.stores")]
    places = [f"paths.stores={tmp_path}/disk/stores", f"paths.narratives={tmp_path}/narratives"]
    code, said, files = run(tmp_path, 300, "search", *words, *places, "query=door")
    line = require_one_line(tmp_path, code, said, files)
    assert "index.told.learned.exact" in line
