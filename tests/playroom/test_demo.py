"""`make demo` on a small Playroom, interrupted over and over, ends with the page that it should."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from src.playroom.generation import generate
from tests.playroom.sizes import SMALL

PROJECT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_an_interrupted_demo_finishes_when_run_again(tmp_path: Path) -> None:
    generate(tmp_path / "data" / "playroom", SMALL, seed=0, workers=2)
    places = {"TEA_DATA": str(tmp_path / "data"), "TEA_OUTPUTS": str(tmp_path / "outputs"), "OMP_NUM_THREADS": "1"}
    page = tmp_path / "outputs" / "demo" / "report.html"

    def demo(timeout: float | None) -> int:
        command = ["make", "demo", "INSTALLED=", f"RUN={sys.executable}", "DEMO_TEXT=learned"]
        job = subprocess.Popen(command, cwd=PROJECT, env=os.environ | places, start_new_session=True)
        try:
            return job.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(job.pid, signal.SIGINT)
            return job.wait()

    interrupted = [demo(timeout) for timeout in (4, 8, 12, 16, 20)]
    assert interrupted[0] != 0
    assert demo(None) == 0
    text = page.read_text(encoding="utf-8")
    assert all(split in text for split in ("test_iid", "test_ood", "novel_composition", "novel_word"))
    made = page.stat().st_mtime_ns
    assert demo(60) == 0
    assert page.stat().st_mtime_ns == made
