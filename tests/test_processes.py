"""Two processes on one machine give the metrics and predictions of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.commands.prepare import make_stores
from src.commands.train import train
from tests.compose import compose
from tests.synthetic import write_small

PROJECT = Path(__file__).parents[1]


@pytest.mark.slow
def test_two_processes_count_every_query_once(tmp_path: Path) -> None:
    # 21 queries a split in batches of 4: the last batch is smaller, and the queries are odd in number.
    run = [*write_small(tmp_path, videos=7), "loader.eval_batch_size=4"]
    make_stores(compose(*run, config="prepare"))
    one, two = tmp_path / "one", tmp_path / "two"
    train(compose(*run, f"folder={one}", config="train"))

    def launched(module: str, *arguments: str) -> None:
        processes = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
        subprocess.run(
            [sys.executable, "-m", module, *run, *processes, *arguments],
            cwd=PROJECT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            check=True,
            capture_output=True,
        )

    launched("src.evaluate", f"checkpoint={one}", f"hydra.run.dir={two}")
    alone, shared = (json.loads((folder / "metrics.json").read_text()) for folder in (one, two))
    expected = {name: value for name, value in alone.items() if name.startswith("test/")}
    # The order in which doubles are added shows in their last digit.
    assert shared == pytest.approx(expected, rel=1e-12)
    for split in ("test_iid", "test_ood"):
        file = Path("predictions") / f"{split}.jsonl"
        assert (two / file).read_bytes() == (one / file).read_bytes()

    launched("src.train", f"hydra.run.dir={tmp_path}/trained")
    assert json.loads((tmp_path / "trained" / "status.json").read_text())["state"] == "finished"
    assert len((tmp_path / "trained" / "predictions" / "test_ood.jsonl").read_text().splitlines()) == 21
