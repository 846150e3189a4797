"""QVHighlights as its authors have it: learned from, answered where answers are kept back, written for their server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from src.commands.evaluate import evaluate
from src.commands.prepare import make_stores
from src.commands.train import train
from src.data.splits import load_split
from src.reporting.page import write_report
from tests.compose import CONF, compose
from tests.runs.test_predictions import require_official
from tests.synthetic import write_qvhighlights

SMALL = ["predictor.network.hidden=16", "predictor.network.heads=2", "predictor.network.feed_forward=16"]
NETWORKS = sorted(
    file.stem
    for file in (CONF / "experiment").glob("qvhighlights_*.yaml")
    if not file.stem.startswith(("qvhighlights_narratives", "qvhighlights_segments"))
)


def test_a_baseline_answers_what_it_cannot_be_scored_on(tmp_path: Path) -> None:
    given = [
        *write_qvhighlights(tmp_path, features={}),
        "baseline=prior",
        "data=qvhighlights",
        f"folder={tmp_path}/run",
    ]
    cfg = compose(*given, config="evaluate")
    values = evaluate(cfg)
    assert {name.split("/")[1] for name in values} == {"val"}
    for split in ("val", "test"):
        moments = load_split(cfg.data, split).moments
        require_official(tmp_path / "run" / "submission" / f"hl_{split}_submission.jsonl", moments)
    assert evaluate(compose(*given, "split=test", config="evaluate")) == {}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    overrides = ["+experiment=qvhighlights_qd_detr", *write_qvhighlights(tmp_path_factory.mktemp("small")), *SMALL]
    make_stores(compose(*overrides, config="prepare"))
    return overrides


@pytest.mark.slow
@pytest.mark.parametrize("experiment", NETWORKS)
def test_every_network_learns_from_the_official_split(small: list[str], experiment: str, tmp_path: Path) -> None:
    given = [f"+experiment={experiment}", *small[1:], "trainer.max_epochs=1", f"folder={tmp_path}"]
    cfg = compose(*given, config="train")
    train(cfg)
    assert "test/val/mAP" in json.loads((tmp_path / "metrics.json").read_text())
    for split in ("val", "test"):
        file = tmp_path / "submission" / f"hl_{split}_submission.jsonl"
        records = require_official(file, load_split(cfg.data, split).moments)
        assert all("pred_saliency_scores" in record for record in records)


@pytest.fixture(scope="module")
def trained(small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(compose(*small, f"folder={folder}", config="train"))
    return folder


@pytest.mark.slow
def test_a_run_writes_both_files_that_the_server_takes(small: list[str], trained: Path) -> None:
    data = compose(*small, config="train").data
    for split in ("val", "test"):
        moments = load_split(data, split).moments
        records = require_official(trained / "submission" / f"hl_{split}_submission.jsonl", moments)
        assert all("pred_saliency_scores" in record for record in records)


@pytest.mark.slow
def test_what_has_answers_is_scored_and_what_has_none_is_not(trained: Path) -> None:
    metrics = json.loads((trained / "metrics.json").read_text())
    scored = {name.removeprefix("test/val/") for name in metrics if name.startswith("test/")}
    assert {"R1@0.5", "mAP", "mAP@0.75", "mAP-short", "HL-min-VeryGood-mAP", "HL-min-VeryGood-Hit1"} <= scored
    assert not any(name.startswith("test/test/") for name in metrics)
    assert "best/val/mAP" in metrics


@pytest.mark.slow
def test_a_submission_scores_what_the_run_did(small: list[str], trained: Path, tmp_path: Path) -> None:
    file = trained / "submission" / "hl_val_submission.jsonl"
    given = [*small, f"predictions={file}", "split=val", f"folder={tmp_path}"]
    values = evaluate(compose(*given, config="evaluate"))
    logged = json.loads((trained / "metrics.json").read_text())
    # Two decimals of a second: an IoU may pass a threshold by them, mean IoU tells a hundredth.
    for name in ("mIoU", "HL-min-VeryGood-mAP", "HL-min-VeryGood-Hit1"):
        assert values[f"test/val/{name}"] == pytest.approx(logged[f"test/val/{name}"], abs=0.05)
    assert (tmp_path / "submission" / "hl_val_submission.jsonl").read_bytes() == file.read_bytes()


@pytest.mark.slow
def test_a_checkpoint_is_tested_on_a_split_with_answers(small: list[str], trained: Path, tmp_path: Path) -> None:
    kept = Path(next(each for each in small if each.startswith("paths.data=")).removeprefix("paths.data="))
    lines = (kept / "qvhighlights" / "highlight_val_release.jsonl").read_text()
    (kept / "qvhighlights" / "highlight_test_with_gt.jsonl").write_text(lines)
    given = [f"checkpoint={trained}", "data.test_file=highlight_test_with_gt.jsonl", "split=test"]
    values = evaluate(compose(*small, *given, f"folder={tmp_path}", config="evaluate"), given)
    logged = json.loads((trained / "metrics.json").read_text())
    assert values["test/test/mAP"] == logged["test/val/mAP"]


@pytest.mark.slow
def test_a_report_shows_the_split_that_was_scored(trained: Path, tmp_path: Path) -> None:
    page = write_report(compose(f"runs=[{trained}]", f"output={tmp_path}", config="report")).read_text()
    assert "is left out" not in page
    _, *lines = (tmp_path / "qvhighlights.md").read_text().split("|---")[-1].splitlines()
    assert [line.split("|")[1].strip() for line in lines if line.startswith("|")] == ["val"]
