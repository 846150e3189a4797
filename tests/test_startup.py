"""Commands answer quickly: what is heavy is imported when it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "lightning", "transformers", "h5py", "matplotlib", "wandb", "scipy")


@pytest.mark.parametrize("command", ["train", "prepare", "evaluate", "narrate", "report"])
def test_a_command_imports_nothing_heavy_before_it_runs(command: str) -> None:
    code = f"import sys; sys.argv = ['x', '--help']; from src.{command} import main\n"
    code += "try: main()\nexcept SystemExit: pass\n"
    code += f"print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
