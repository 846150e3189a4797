"""Runs at Weights & Biases: offline ones read back from their files, and a saved view sent to a server of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb
from PIL import Image

from src.commands.prepare import make_stores
from src.commands.train import train
from src.errors import UserError
from tests.compose import compose
from tests.synthetic import write_small
from tests.wandb_file import RecordedRun, read_run, records

PROJECT = Path(__file__).parents[1]
SPLITS = ("test_iid", "test_ood")
# Its loss is not finite in the first epoch.
DIVERGES = ["optimizer.lr=1e30", "trainer.gradient_clip_val=null"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    overrides = ["+experiment=charades_cd_i3d", *write_small(tmp_path_factory.mktemp("small"))]
    make_stores(compose(*overrides, config="prepare"))
    return overrides


SECRETS = {"WANDB_API_KEY": 5 * "5ec2e7ab", "OPENAI_API_KEY": "sk-secret-0123456789", "HF_TOKEN": "hf_secretsecret01"}


def command(module: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=PROJECT,
        env=kept | {"OMP_NUM_THREADS": "1"} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def recorded(folder: Path) -> list[tuple[Path, RecordedRun]]:
    """Each start of a run in a run folder: the folder of its files, and what it recorded."""
    return [(path.parent / "files", read_run(path)) for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))]


@pytest.fixture(scope="module")
def swept(small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A multirun of two jobs, the first of which fails while it trains."""
    place = tmp_path_factory.mktemp("sweep")
    jobs = ["+sweep=alpha", "paragraph.network.alpha=0.5", "seed=0", "optimizer.lr=1e30,1e-3", *DIVERGES[1:]]
    named = [f"hydra.sweep.dir={place}", "hydra.sweep.subdir=${optimizer.lr}"]
    done = command("src.train", "-m", *small, *jobs, *named, "logger=wandb", WANDB_MODE="offline", **SECRETS)
    assert "1 of 2 jobs finished" in done.stdout, done.stderr
    assert done.returncode == 1
    return place


def test_no_secret_of_the_environment_is_in_any_file(swept: Path) -> None:
    """The run folders with all that is in them, and wandb's own records, which may be parted between blocks."""
    files = [path for path in swept.rglob("*") if path.is_file()]
    assert any(path.suffix == ".wandb" for path in files)
    for path in files:
        content = path.read_bytes()
        if path.suffix == ".wandb":
            content += b"".join(record.SerializeToString() for record in records(path))
        for name, secret in SECRETS.items():
            assert secret.encode() not in content, (path, name)


def test_each_job_of_a_multirun_is_a_run_of_its_own_with_its_own_end(swept: Path) -> None:
    ((_, failed),) = recorded(swept / "1e+30")
    ((_, finished),) = recorded(swept / "0.001")
    assert (failed.exit_code, finished.exit_code) == (1, 0)
    assert failed.run.run_id != finished.run.run_id
    assert (failed.run.display_name, finished.run.display_name) == ("1e+30", "0.001")
    for each in (failed, finished):
        assert each.run.run_group == "charades_cd_i3d/alpha"
        assert set(each.run.tags) == {
            *("charades_cd", "cd", "features=i3d", "merger=concat_mlp", "paragraph=query"),
            *("predictor=emb", "narrator=llava_13b"),
        }
    assert finished.config["optimizer"]["lr"] == 1e-3
    assert "run-folder" not in failed.artifacts


def test_the_summary_holds_the_metrics_of_the_run_folder(swept: Path) -> None:
    ((_, run),) = recorded(swept / "0.001")
    metrics = json.loads((swept / "0.001" / "metrics.json").read_text())
    assert {"best/val/mIoU", "test/test_iid/R1@0.7", "test/test_ood/mIoU"} <= metrics.keys()
    assert {name: run.summary[name] for name in metrics} == pytest.approx(metrics)
    epochs = [row for row in run.history if "val/mIoU" in row]
    best = max(epochs, key=lambda row: row["val/mIoU"])
    expected = {f"best/{name}": value for name, value in best.items() if name.startswith("val/")}
    assert {name: run.summary[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("split", SPLITS)
def test_a_test_split_has_a_table_and_timelines_of_its_predictions(swept: Path, split: str) -> None:
    ((files, run),) = recorded(swept / "0.001")
    table = json.loads((files / run.summary[f"predictions/{split}.path"]).read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    lines = [json.loads(line) for line in (swept / "0.001" / "predictions" / f"{split}.jsonl").open()]
    for row, line in zip(rows, lines, strict=True):
        assert [row[name] for name in ("query_id", "video", "query")] == [
            line["query_id"],
            line["video"],
            line["query"],
        ]
        assert [row["start"], row["end"]] in line["windows"]
        assert [row["predicted_start"], row["predicted_end"]] == pytest.approx(line["predictions"][0][:2])
    assert 100 * np.mean([row["IoU"] for row in rows]) == pytest.approx(run.summary[f"test/{split}/mIoU"], abs=1e-3)

    pictures = [files / name for name in run.summary[f"timelines/{split}.filenames"]]
    assert len(pictures) == 3
    # A moment is drawn: green where it is annotated, blue where it is predicted.
    for picture in pictures:
        colours = {colour for _, colour in Image.open(picture).convert("RGB").getcolors(1 << 16)}
        assert {(0x2E, 0x7D, 0x4F), (0x25, 0x63, 0xC4)} <= colours
    shown = [
        row["IoU"] for name in run.summary[f"timelines/{split}.captions"] for row in rows if row["query_id"] == name
    ]
    ordered = sorted(row["IoU"] for row in rows)
    assert shown == [ordered[0], ordered[round((len(ordered) - 1) / 2)], ordered[-1]]


def test_a_finished_run_keeps_its_files(swept: Path) -> None:
    ((_, run),) = recorded(swept / "0.001")
    predictions = {f"predictions/{split}.jsonl" for split in SPLITS}
    files = {
        "config.yaml",
        "composed.yaml",
        "data.json",
        "environment.json",
        "metrics.json",
        "metrics/version_0/metrics.csv",
    }
    expected = files | predictions
    assert run.artifacts["run-folder"] == expected


def test_a_run_that_failed_is_continued_and_can_keep_its_weights(small: list[str], tmp_path: Path) -> None:
    offline = ["logger=wandb", "logger.wandb.mode=offline", "logger.wandb.sweep=null", "logger.wandb.checkpoint=true"]
    run = [*small, *offline, f"folder={tmp_path}"]
    with pytest.raises(UserError, match="not finite"):
        train(compose(*run, *DIVERGES, config="train"))
    train(compose(*run, config="train"))
    wandb.teardown()  # as the end of a process does: what is finished may not be in its file yet
    (_, failed), (_, finished) = recorded(tmp_path)
    assert (failed.exit_code, finished.exit_code) == (1, 0)
    assert failed.run.run_id == finished.run.run_id
    assert finished.run.run_group == "charades_cd_i3d"
    assert "checkpoints/best.ckpt" in finished.artifacts["run-folder"]


def test_disabled_leaves_nothing(small: list[str], tmp_path: Path) -> None:
    disabled = ["logger=wandb", "logger.wandb.mode=disabled", "logger.wandb.sweep=null"]
    train(compose(*small, *disabled, f"folder={tmp_path}", "trainer.max_epochs=1", config="train"))
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "finished"
    assert not list(tmp_path.rglob("*.wandb"))


@pytest.mark.parametrize("module", ["src.train", "src.wandb_view"])
def test_without_an_api_key_a_command_ends_with_one_line(small: list[str], tmp_path: Path, module: str) -> None:
    overrides = [*small, "logger=wandb"] if module == "src.train" else [f"paths.outputs={tmp_path}"]
    done = command(module, *overrides, HOME=str(tmp_path), WANDB_BASE_URL="http://127.0.0.1:9")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "No API key configured" in line
    assert "wandb login" in line
    assert "Traceback" not in done.stderr


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The part of W&B's API that saves a view: its address, and the views that were saved."""
    saved: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if self.path != "/graphql":
                self.send_error(404)
                return
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            data: dict[str, Any] = {"viewer": {"id": "1", "entity": "us", "username": "us", "teams": {"edges": []}}}
            if "upsertView" in asked["query"]:
                saved.append(asked["variables"])
                data = {"upsertView": {"view": {"id": "2", "name": asked["variables"]["name"]}, "inserted": True}}
            content = json.dumps({"data": data}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None: ...

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}", saved
    running.shutdown()
    running.server_close()


def test_a_view_has_a_section_for_each_split_and_a_bar_for_each_variant(
    server: tuple[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    address, saved = server
    overrides = ["data=charades_cg", "group=charades_cg_i3d/components", f"paths.outputs={tmp_path}"]
    variables = {"HOME": str(tmp_path), "WANDB_BASE_URL": address, "WANDB_API_KEY": "k" * 40}
    done = command("src.wandb_view", *overrides, **variables)
    assert done.returncode == 0, done.stderr
    (view,) = saved
    assert done.stdout.strip() == f"{address}/us/tea?nw={view['name'].removeprefix('nw-').removesuffix('-v')}"
    assert (view["entityName"], view["projectName"]) == ("us", "tea")
    assert view["displayName"] == "Charades-CG, baseline against TEA"
    section = json.loads(view["spec"])["section"]
    drawn = {
        each["name"]: [panel["config"]["metrics"] for panel in each["panels"]]
        for each in section["panelBankConfig"]["sections"]
    }
    metrics = ("R1@0.5", "R1@0.7", "mIoU")
    splits = ("test_trivial", "novel_composition", "novel_word")
    assert drawn == {split: [[f"test/{split}/{metric}"] for metric in metrics] for split in splits}
    (runs,) = section["runSets"]
    assert [key["name"] for key in runs["grouping"]] == ["merger.value.name", "paragraph.value.name"]
    filters = {each["key"]["name"]: each["value"] for each in runs["filters"]["filters"]}
    assert filters == {"tags": ["charades_cg"], "state": "finished", "group": "charades_cg_i3d/components"}
