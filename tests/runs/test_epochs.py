"""What training says where nobody watches a terminal, and what its log keeps."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from src import progress
from src.commands.prepare import make_stores
from src.commands.train import train
from tests.compose import compose
from tests.synthetic import write_small
from tests.test_progress import UNTIL


def test_a_line_an_epoch_and_one_a_minute_and_the_final_table(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = write_small(tmp_path / "data", videos=4, queries=2, dim=8)
    run = ["+experiment=charades_cd_i3d", *few, "merger=none", "paragraph=none", "data.tests=[test_iid]"]
    make_stores(compose(*run, config="prepare"))
    monkeypatch.setattr(progress, "MINUTE", 0.0)
    caplog.set_level(logging.INFO)
    caplog.clear()
    train(compose(*run, "+trainer.check_val_every_n_epoch=2", f"folder={tmp_path}/run", config="train"))
    said = caplog.messages
    epochs = [line for line in said if re.match(r"epoch \d of 2: loss", line)]
    assert re.fullmatch(rf"epoch 1 of 2: loss [\d.]+, {UNTIL}", epochs[0])
    metrics = r"R1@0\.3 [\d.]+ R1@0\.5 [\d.]+ R1@0\.7 [\d.]+ mIoU [\d.]+"
    assert re.fullmatch(rf"epoch 2 of 2: loss [\d.]+, val {metrics}", epochs[1])
    assert any(re.match("epoch 2 of 2: 1 of 1 step", line) for line in said)
    assert any(line.startswith("testing: 1 of 1 batch") for line in said)
    assert any(line.startswith("\nsplit ") and "\ntest_iid" in line for line in said)
