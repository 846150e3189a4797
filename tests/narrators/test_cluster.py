"""The same narrator on a local Ray cluster of two workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.commands.narrate import narrate
from src.data.narratives import read_narratives
from src.narrators.journal import failures_file, read_failures
from tests.compose import compose
from tests.narrators.videos import write_video


def _run(*overrides: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "src.narrate", *overrides],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_two_workers_write_what_one_run_writes(tmp_path: Path, llava: Path) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(1, 9):
        write_video(folder / f"v{number}.mp4", [n / 5 for n in range(5 * number)])
    settings = [
        *(f"videos={folder}", "narrator=hf", "narrator.name=tiny", f"narrator.model={llava}"),
        *("narrator.dtype=float32", "narrator.generation.max_new_tokens=6", f"paths.outputs={tmp_path}"),
    ]
    whole, spread = tmp_path / "whole.jsonl", tmp_path / "spread.jsonl"
    narrate(compose(*settings, f"output={whole}", config="narrate"))
    (folder / "bad.mp4").write_text("no video")
    run = _run(*settings, f"output={spread}", "ray.workers=2", "ray.gpus=0")
    assert run.returncode == 1
    assert "1 of 9 videos failed, such as bad" in run.stderr
    assert set(read_failures(failures_file(spread))) == {"bad"}
    # In the order in which they were done.
    assert sorted(read_narratives(spread), key=lambda one: one.video) == list(read_narratives(whole))

    run = _run(*settings, f"output={tmp_path / 'n.jsonl'}", "narrator.model=/nowhere", "ray.workers=2", "ray.gpus=0")
    assert run.returncode == 1
    assert "error: narrator /nowhere cannot be loaded" in run.stderr
    run = _run(*settings, f"output={tmp_path / 'm.jsonl'}", "ray.workers=2")
    assert "2 workers with 1 GPUs each, but the cluster has 0" in run.stderr
