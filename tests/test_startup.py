"""Commands answer quickly: what is heavy is imported when it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "lightning", "transformers", "h5py", "matplotlib", "wandb", "scipy"}


@pytest.mark.parametrize(
    "command", ["train", "prepare", "evaluate", "narrate", "reword", "report", "search", "app", "models", "wandb_view"]
)
def test_a_command_imports_nothing_heavy_before_it_runs(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", f"src.{command}", "--help"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "hydra" in imported
    assert not HEAVY & imported
