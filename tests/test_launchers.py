"""Multiruns of training whose jobs another program starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.commands.prepare import make_stores
from tests.compose import compose
from tests.synthetic import write_small

# What SLURM does, in a few lines: sbatch runs the array's tasks one after another in the background, sacct says which
# are done, and srun starts the command on this machine.
SLURM = {
    "sbatch": """
        cp "$1" "$SLURM_PLACE/script.sh"
        for task in 0 1; do
            SLURM_JOB_ID=$((8 + task)) SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$task SLURM_NTASKS=1 SLURM_PROCID=0 \\
                SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_JOB_NUM_NODES=1 SLURM_JOB_NODELIST=localhost bash "$1"
            echo "7_$task|COMPLETED|localhost" >> "$SLURM_PLACE/done"
        done > "$SLURM_PLACE/log" 2>&1 &
        echo Submitted batch job 7
    """,
    "sacct": 'echo "JobID|State|NodeList"; cat "$SLURM_PLACE/done"',
    "srun": 'while [ "$1" != "$PYTHON" ]; do shift; done; exec "$@"',
}


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A multirun of two values of α, an epoch each; the folders of the jobs are named by it."""
    small = ["+experiment=charades_cd_i3d", *write_small(tmp_path_factory.mktemp("small"))]
    make_stores(compose(*small, config="prepare"))
    jobs = ["paragraph.network.alpha=0.3,0.5", "trainer.max_epochs=1"]
    named = "hydra.sweep.subdir=${paragraph.network.alpha}"
    return [sys.executable, "-m", "src.train", "-m", *small, *jobs, named]


def run(command: list[str], place: Path, launcher: str, **environment: str) -> list[dict[str, float]]:
    """Run both jobs to the end: when each began and how long it took, in seconds."""
    done = subprocess.run(
        [*command, f"hydra.sweep.dir={place}", f"hydra/launcher={launcher}"],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "2 of 2 jobs finished" in done.stdout
    for job in ("0.3", "0.5"):
        assert "test/test_ood/mIoU" in json.loads((place / job / "metrics.json").read_text())
    return [json.loads((place / job / "status.json").read_text()) for job in ("0.3", "0.5")]


@pytest.mark.slow
def test_joblib_runs_jobs_side_by_side(command: list[str], tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="the extra `cluster` is not installed")
    status = run([*command, "hydra.launcher.n_jobs=2"], tmp_path, "joblib")
    first, second = sorted(status, key=lambda job: job["started"])
    assert second["started"] < first["started"] + first["seconds"]


@pytest.mark.slow
def test_jobs_that_submitit_begins_at_once_share_the_threads(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="the extra `cluster` is not installed")
    monkeypatch.delenv("OMP_NUM_THREADS")
    subprocess.run(
        [*command, f"hydra.sweep.dir={tmp_path}", "hydra/launcher=submitit_local"],
        cwd=Path(__file__).parents[1],
        check=True,
    )
    for job in ("0.3", "0.5"):
        machine = json.loads((tmp_path / job / "environment.json").read_text())["machine"]
        assert machine["threads"] == max(1, len(os.sched_getaffinity(0)) // 2)


@pytest.mark.slow
def test_slurm_gets_a_job_script_and_its_jobs_train(command: list[str], tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="the extra `cluster` is not installed")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in SLURM.items():
        (programs / name).write_text(f"#!/bin/bash\n{text}\n")
        (programs / name).chmod(0o755)
    (tmp_path / "done").touch()
    path = f"{programs}:{os.environ['PATH']}"
    run(command, tmp_path / "sweep", "slurm", PATH=path, SLURM_PLACE=str(tmp_path), PYTHON=sys.executable)
    script = (tmp_path / "script.sh").read_text().splitlines()
    assert {
        *("#SBATCH --job-name=train", "#SBATCH --array=0-1%2", "#SBATCH --nodes=1", "#SBATCH --ntasks-per-node=1"),
        *("#SBATCH --gpus-per-node=1", "#SBATCH --cpus-per-task=8", "#SBATCH --mem=64GB", "#SBATCH --time=1440"),
        "#SBATCH --signal=USR2@120",  # two minutes before its time is up, in which it is queued again
    } <= set(script)
    jobs = tmp_path / "sweep" / ".submitit"
    assert script[-1].startswith(f"srun --unbuffered --output {jobs}/%A_%a/%A_%a_%t_log.out")
    assert script[-1].endswith(f"{sys.executable} -u -m submitit.core._submit {jobs}/%j")
