"""The jobs of a multirun: each has a folder of its own, all are counted, and any can be named on a command line."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from src.arguments import quoted
from src.commands.prepare import make_stores
from src.commands.train import train
from src.errors import UserError
from src.runs.checkpoints import LAST
from src.runs.folder import RunFolder
from src.runs.sweeps import _records, record_failure, short_name
from tests.compose import CONF, compose
from tests.runs.interrupted import at, command, differences, stopped
from tests.synthetic import write_charades_cd, write_small

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    few = write_small(tmp_path_factory.mktemp("small"), videos=4, queries=2, dim=8)
    parts = [
        "merger=none",
        "paragraph=none",
        "data.tests=[test_iid]",
        "trainer.max_epochs=1",
    ]
    make_stores(compose("+experiment=charades_cd_i3d", *few, *parts[:3], config="prepare"))
    return [*few, *parts]


def multirun(log: Path, *arguments: str, passed: object = lambda _: None, module: str = "src.train") -> tuple[int, str]:
    """Run `python -m MODULE -m` with these arguments; its status and what it printed."""
    status = stopped(command("-m", *arguments, module=module), passed, log)  # type: ignore[arg-type]
    return status, log.read_text()


def jobs(place: Path) -> list[str]:
    return sorted(str(path.parent.relative_to(place)) for path in place.rglob("status.json"))


def test_a_multirun_does_not_write_into_one_run(small: list[str], tmp_path: Path) -> None:
    status, said = multirun(
        tmp_path / "log", *small, f"hydra.sweep.dir={tmp_path}/s", "seed=0,1", f"ckpt_path={tmp_path}/r"
    )
    assert status == 1
    assert "error: ckpt_path names one run, and a multirun has many" in said
    assert not (tmp_path / "s").exists()


def test_every_job_is_counted_wherever_its_folder_is(small: list[str], tmp_path: Path) -> None:
    both = "+experiment=charades_cd_i3d,anet_i3d"
    kept = [each for each in small if not each.startswith("data.")]
    status, said = multirun(tmp_path / "log", *kept, both, f"paths.outputs={tmp_path}", "trainer=debug,cpu", "seed=0")
    assert status == 1
    assert "2 of 4 jobs finished" in said
    assert said.count("no annotation file") >= 2
    names = [
        f"{name}/seed=0,trainer={trainer}" for name in ("anet_i3d", "charades_cd_i3d") for trainer in ("cpu", "debug")
    ]
    assert jobs(tmp_path / "sweeps") == names
    assert not list(tmp_path.rglob(".jobs"))


def test_a_job_is_named_by_what_tells_it_apart(small: list[str], tmp_path: Path) -> None:
    dozen = ["optimizer.lr=0.001", "predictor.network.dropout=0.1", "loader.batch_size=4", "top=5"]
    long = "name=" + "x" * 190
    status, said = multirun(
        tmp_path / "log",
        *small,
        *dozen,
        long,
        "+experiment=charades_cd_i3d",
        f"hydra.sweep.dir={tmp_path}/s",
        "seed=0,1",
    )
    assert status == 0, said
    assert jobs(tmp_path / "s") == ["seed=0", "seed=1"]


def test_the_name_of_a_long_value_is_cut_and_unique(small: list[str], tmp_path: Path) -> None:
    names = ",".join("n" * 300 + end for end in "ab")
    status, said = multirun(
        tmp_path / "log", *small, "+experiment=charades_cd_i3d", f"hydra.sweep.dir={tmp_path}/s", f"+tag={names}"
    )
    assert status == 0, said
    first, second = jobs(tmp_path / "s")
    assert first != second
    assert len(first) == len(second) == 200


@pytest.mark.slow
def test_notes_of_a_multirun_that_was_killed_go_with_the_next(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    names = [f"{socket.gethostname()}-{process}" for process in (os.getpid(), os.getppid(), gone.pid)]
    ours, running, killed = (tmp_path / ".jobs" / name for name in names)
    elsewhere = tmp_path / ".jobs" / "another-machine-1"
    for place in (ours, running, killed, elsewhere):
        place.mkdir(parents=True)
        (place / "0.json").touch()
    assert _records(tmp_path) == ours
    assert set((tmp_path / ".jobs").iterdir()) == {ours, running, elsewhere}
    # Ours were of an earlier process of the same number.
    assert not any(ours.iterdir())


def test_a_sweep_that_is_asked_to_end_begins_no_other_job_and_goes_on_later(small: list[str], tmp_path: Path) -> None:
    run = [*small, "+experiment=charades_cd_i3d", "seed=0,1"]
    here, there = (f"hydra.sweep.dir={tmp_path}/{name}" for name in ("here", "there"))
    assert multirun(tmp_path / "log", *run, there)[0] == 0
    for point in ("after step", "before test step", "before fit"):
        status, said = multirun(tmp_path / "log", *run, here, passed=at(point, signal.SIGTERM))
        assert status != 0
        assert "jobs finished" not in said
        assert not (tmp_path / "here" / "seed=1").exists() or point == "before fit"
    status, said = multirun(tmp_path / "log", *run, here)
    assert status == 0, said
    for job in ("seed=0", "seed=1"):
        assert differences(tmp_path / "here" / job, tmp_path / "there" / job) == []


@pytest.mark.parametrize("bad", [[], ["VAL00"]])
def test_the_shards_of_a_narration_are_counted_and_named(tmp_path: Path, bad: list[str]) -> None:
    videos = write_charades_cd(tmp_path / "charades_cd", videos=1)
    captions = {video: {"1": "A door opens."} for video in videos if video not in bad}
    (tmp_path / "captions.json").write_text(json.dumps(captions))
    settings = ["data=charades_cd", "narrator=imported", "narrator.name=taken", f"paths.data={tmp_path}"]
    places = [
        f"narrator.captions={tmp_path}/captions.json",
        f"output={tmp_path}/n.jsonl",
        f"hydra.sweep.dir={tmp_path}/s",
    ]
    for _ in range(2):  # what was counted before is not counted again
        status, said = multirun(
            tmp_path / "log", *settings, *places, "shard=range(3)", "shards=3", module="src.narrate"
        )
        assert status == (1 if bad else 0), said
        assert f"{3 - len(bad)} of 3 jobs finished" in said
        for shard in range(3):
            assert f"n.{shard}-of-3.jsonl: narratives of" in said
        for video in bad:
            assert f"1 of 1 videos failed, such as {video}: no captions of {video}" in said
        captions |= {video: {"1": "A door opens."} for video in bad}
        (tmp_path / "captions.json").write_text(json.dumps(captions))
        settings, bad = [*settings, "retry_failed=true"], []


def test_a_multirun_is_no_job_of_torchrun(small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    status, said = multirun(tmp_path / "log", *small, f"hydra.sweep.dir={tmp_path}/s", "seed=0,1")
    assert status == 1
    assert said.startswith("error: a multirun starts the processes of its jobs itself")


@pytest.mark.slow
def test_a_killed_job_beside_others_is_listed_and_the_others_run(small: list[str], tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="the extra `cluster` is not installed")
    arguments = [*small, "+experiment=charades_cd_i3d", "trainer.max_epochs=20", f"hydra.sweep.dir={tmp_path}/s"]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "src.train",
            "-m",
            *arguments,
            "seed=0,1,2",
            "hydra/launcher=joblib",
            "hydra.launcher.n_jobs=2",
        ],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    place = tmp_path / "s" / "seed=0"
    while not (place / LAST).exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(writer_of(place), signal.SIGKILL)
    said, _ = process.communicate(timeout=500)
    assert process.returncode == 1
    assert "failed: seed=0: it was killed (SIGKILL)" in said
    assert "2 of 3 jobs finished" in said
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_a_sweep_side_by_side_that_is_stopped_leaves_no_process_behind(
    small: list[str], tmp_path: Path, how: signal.Signals, launcher: str
) -> None:
    pytest.importorskip(
        f"hydra_plugins.hydra_{launcher.split('_')[0]}_launcher", reason="the extra `cluster` is not installed"
    )
    process = side_by_side(
        small, tmp_path / "s", launcher, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    places = [tmp_path / "s" / f"seed={seed}" for seed in (0, 1)]
    while not all((place / LAST).exists() for place in places):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(how)
    process.wait(20)
    until = time.monotonic() + 20
    while left := members(process.pid):
        assert time.monotonic() < until, left
        time.sleep(0.1)
    for place in places:
        assert json.loads((place / "status.json").read_text())["reason"].startswith(
            "asked to end (SIGTERM): state kept"
        )


@pytest.mark.slow
def test_a_launcher_whose_worker_was_killed_lists_the_jobs(small: list[str], tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="the extra `cluster` is not installed")
    process = side_by_side(small, tmp_path / "s", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    place = tmp_path / "s" / "seed=0"
    while not (place / LAST).exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(int(Path(f"/proc/{writer_of(place)}/stat").read_text().split()[3]), signal.SIGKILL)
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 1
    assert "the launcher gave up: " in said
    assert "unfinished: seed=0: it was killed" in said
    assert "0 of 2 jobs finished" in said
    assert "Traceback" not in said


def side_by_side(small: list[str], folder: Path, launcher: str = "joblib", **output: Any) -> subprocess.Popen[Any]:
    """Two long jobs at once, as their command is started."""
    settings = ["+experiment=charades_cd_i3d", "trainer.max_epochs=10000", f"hydra.sweep.dir={folder}", "seed=0,1"]
    at_once = ["hydra.launcher.n_jobs=2"] if launcher == "joblib" else []
    command = [sys.executable, "-m", "src.train", "-m", *small, *settings, f"hydra/launcher={launcher}", *at_once]
    return subprocess.Popen(command, cwd=PROJECT, **output)


def writer_of(folder: Path) -> int:
    """The process that trains in a run folder."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_text().split("\0")
            if f"hydra.run.dir='{folder}'" in words:
                return int(process.name)
    raise AssertionError(f"no process trains in {folder}")


def members(session: int) -> list[str]:
    """The commands of the processes of a session."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, _, _, of = (process / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(of) == session and state != "Z":
                found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


def test_a_folder_of_a_sweep_can_be_named_on_the_command_line(small: list[str], tmp_path: Path) -> None:
    run = ["+experiment=charades_cd_i3d", *small, f"hydra.run.dir={tmp_path}/merger=none,seed=0"]
    assert stopped(command(*run), lambda _: None, tmp_path / "log") == 1
    folder = tmp_path / "merger=none,seed=0"
    folder.mkdir()
    assert stopped(command(*run), lambda _: None, tmp_path / "log") == 0, (tmp_path / "log").read_text()
    assert json.loads((folder / "status.json").read_text())["state"] == "finished"
    # What is no path is taken as it is written, and the error says how to write it.
    assert stopped(command("data.title=a=1,b=(2"), lambda _: None, tmp_path / "log") == 1
    said = (tmp_path / "log").read_text()
    assert "needs quotes within quotes" in said
    assert "Traceback" not in said


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])).filter(lambda text: "$" not in text))
def test_a_quoted_value_is_taken_literally(text: str) -> None:
    assert OverridesParser.create().parse_override(f"key={quoted(text)}").value() == text


@given(st.text(min_size=1), st.text(min_size=1))
def test_names_stay_apart_and_fit_a_file_system(one: str, other: str) -> None:
    short = short_name(one)
    assert all(len(part.encode()) <= 200 for part in short.split("/"))
    assert (short == short_name(other)) == (one == other)
    assert short == one or any(len(part.encode()) > 200 for part in one.split("/"))


def test_two_commands_at_once_have_a_folder_each_or_one_waits(small: list[str], tmp_path: Path) -> None:
    for config in ("train", "evaluate"):
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            dirs = [hydra.compose(config, return_hydra_config=True).hydra.run.dir for _ in range(2)]
        assert dirs[0] != dirs[1]
    cfg = compose("+experiment=charades_cd_i3d", *small, f"folder={tmp_path}/run", config="train")
    with RunFolder(tmp_path / "run", cfg):
        before = (tmp_path / "run" / "status.json").read_bytes()
        with pytest.raises(UserError, match="another command is writing to"):
            train(cfg)
        job = {"num": 0, "config_name": "train"}
        place = {"runtime": {"output_dir": str(tmp_path / "run")}, "job": job, "callbacks": {}}
        record_failure(OmegaConf.create(place), UserError("another command is writing to it"))
        assert (tmp_path / "run" / "status.json").read_bytes() == before
