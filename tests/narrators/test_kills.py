"""A run that is killed at random moments, again and again, ends with the file of an undisturbed one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from src.data.narratives import read_narratives
from src.narrators.journal import failures_file
from tests.narrators.videos import write_video

_ROOT = Path(__file__).parents[2]


def killed(command: list[str], after: float) -> bool:
    """Run `command`; kill it `after` seconds. Whether it was still running then."""
    process = subprocess.Popen(
        command,
        cwd=_ROOT,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    return False


def _same_after_kills(command: list[str], output: str, files: tuple[Path, Path], kills: int) -> None:
    """`command` with its output appended to `output` writes the same undisturbed as when killed `kills` times."""
    whole, broken = files
    started = time.monotonic()
    assert not killed([*command, f"{output}{whole}"], 600)
    length = time.monotonic() - started
    moments = random.Random(0)
    count = 0
    while count < kills:
        if killed([*command, f"{output}{broken}"], moments.uniform(0.2, 0.9) * length):
            count += 1
        else:
            # It was done before it could be killed: begin anew, so that each kill breaks off a run.
            assert broken.read_bytes() == whole.read_bytes()
            broken.unlink()
            failures_file(broken).unlink()
    assert not killed([*command, f"{output}{broken}"], 600)
    assert broken.read_bytes() == whole.read_bytes()
    assert failures_file(broken).read_bytes() == failures_file(whole).read_bytes()


@pytest.mark.parametrize("kills", [6, pytest.param(20, marks=pytest.mark.slow)])
def test_kills_lose_nothing_that_was_done(tmp_path: Path, kills: int) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(15):
        write_video(folder / f"v{number:02}.mp4", [n / 10 for n in range(10 + 2 * number)])
    (folder / "v07.mp4").write_bytes(b"")
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
    command = [sys.executable, "-m", "tests.narrators.colours", str(folder)]
    _same_after_kills(command, "", (whole, broken), kills)
    assert len(list(read_narratives(broken))) == 14


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_kills_of_the_command(tmp_path: Path, llava: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(40):
        write_video(folder / f"v{number:02}.mp4", [n / 5 for n in range(15 + number)])
    (folder / "v07.mp4").write_text("no video")
    command = [
        *(sys.executable, "-m", "src.narrate", f"videos={folder}", "narrator=hf", "narrator.name=tiny"),
        *(f"narrator.model={llava}", "narrator.dtype=float32", "narrator.generation.max_new_tokens=40"),
        f"paths.outputs={tmp_path}",
    ]
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
    _same_after_kills(command, "output=", (whole, broken), kills=20)
    assert len(list(read_narratives(broken))) == 39
