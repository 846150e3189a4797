"""Which text encoder a machine has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def test_a_machine_without_minilm_learns_its_words(tmp_path: Path) -> None:
    """Neither the package, whose metadata are hidden here, nor a hub."""
    hidden = "from importlib import metadata as m\ndef none(name): raise m.PackageNotFoundError(name)\nm.files = none\n"
    code = f"{hidden}import runpy; runpy.run_module('src.text', run_name='__main__')"
    places = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=os.environ | places, capture_output=True, text=True, check=True
    )
    assert done.stdout == "learned\n"
