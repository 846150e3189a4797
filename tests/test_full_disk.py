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
from src.data.splits import load_split, split_names
from tests.compose import compose
from tests.narrators.videos import write_video
from tests.reporting.test_damaged_runs import write_run
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


@pytest.mark.slow
def test_an_index(tmp_path: Path) -> None:
    write_captions(tmp_path / "captions.json", {f"v{n}": [f"a red door {n} {k}" for k in range(40)] for n in range(40)})
    words = [f"'{word}'" for word in settings(tmp_path) if not word.startswith("paths.stores")]
    places = [f"paths.stores={tmp_path}/disk/stores", f"paths.narratives={tmp_path}/narratives"]
    code, said, files = run(tmp_path, 300, "search", *words, *places, "query=door")
    line = require_one_line(tmp_path, code, said, files)
    assert "index.told.learned.exact" in line


@pytest.mark.slow
@pytest.mark.parametrize("command", ["wandb_view", "playroom", "report", "narrate", "reword", "app"])
def test_hydras_own_files_of_other_commands(tmp_path: Path, command: str) -> None:
    code, said, _ = run(tmp_path, 4, command)
    assert code == 1
    assert said.startswith("error: the run folder cannot be written (No space left on device)"), said
    assert len(said.splitlines()) == 1


@pytest.mark.slow
def test_a_playroom(tmp_path: Path) -> None:
    code, said, files = run(tmp_path, 100, "playroom", f"folder={tmp_path}/disk/made", "size=small", "workers=1")
    assert "/disk/made cannot be written" in require_one_line(tmp_path, code, said, files)
    assert not [name for name in files if "made" in name]


@pytest.mark.slow
def test_features_of_videos(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in "abc":
        write_video(videos / f"{name}.mp4", [number / 4 for number in range(160)])
    stores = f"paths.stores={tmp_path}/disk/stores"
    code, said, files = run(tmp_path, 100, "features", f"videos={videos}", "collection=films", stores)
    assert "/disk/stores/" in require_one_line(tmp_path, code, said, files)


@pytest.mark.slow
def test_narratives_and_those_before_are_kept(tmp_path: Path) -> None:
    videos, captions = tmp_path / "videos", tmp_path / "captions.json"
    videos.mkdir()
    names = [f"video{number:02}" for number in range(40)]
    for name in names:
        (videos / f"{name}.mp4").touch()
    captions.write_text(json.dumps({name: {str(time): "a person " * 30 for time in range(10)} for name in names}))
    imported = ["narrator=imported", "narrator.name=taken", f"narrator.captions={captions}"]
    place = f"output={tmp_path}/disk/taken.jsonl"
    code, said, files = run(tmp_path, 64, "narrate", f"videos={videos}", *imported, place)
    assert "taken" in require_one_line(tmp_path, code, said, files)
    whole = [line for line in files["taken.jsonl"].splitlines(keepends=True) if line.endswith("\n")]
    assert [json.loads(line)["video"] for line in whole] == names[: len(whole)]


@pytest.mark.slow
def test_rewordings_and_those_before_are_kept(tmp_path: Path, small: list[str]) -> None:
    places = [each for each in small if "paths." in each]
    data = compose("data=charades_cd", *(each.strip("'") for each in places), config="reword").data
    queries = sorted({moment.query for split in split_names(data) for moment in load_split(data, split).moments})
    texts = [f"{'again ' * 200}{number}" for number in range(5)]
    given = tmp_path / "given.jsonl"
    given.write_text("".join(json.dumps({"query": each, "rephrased_query": texts}) + "\n" for each in queries))
    words = ["data=charades_cd", *places, "reworder=imported", "reworder.name=again", f"reworder.file={given}"]
    code, said, files = run(tmp_path, 40, "reword", *words, f"paths.rewordings={tmp_path}/disk/rewordings")
    assert "again.jsonl" in require_one_line(tmp_path, code, said, files)
    kept = files["rewordings/charades_cd/again.jsonl"].splitlines(keepends=True)
    whole = [json.loads(line) for line in kept if line.endswith("\n")]
    assert [line["query"] for line in whole] == queries[: len(whole)]


@pytest.mark.slow
def test_a_report(tmp_path: Path) -> None:
    runs = write_run(tmp_path / "runs" / "one")
    code, said, files = run(tmp_path, 28, "report", f"runs=[{runs}]", f"output={tmp_path}/disk/report")
    assert "/disk/report/" in require_one_line(tmp_path, code, said, files)
