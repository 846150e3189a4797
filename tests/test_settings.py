"""Every setting of conf/ is declared, and one out of its range is told in one line before any work."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from src.errors import UserError
from src.settings import PARTS, SETTINGS, Kind, leaves, require_valid
from tests.compose import CONF, compose
from tests.test_configs import CHOICES, LEFT

PROJECT = Path(__file__).parents[1]
COMMANDS = {
    **{
        f"evaluate {file.stem}": (
            *("evaluate", "folder=.", f"baseline={file.stem}"),
            *LEFT.get(f"baseline={file.stem}", ()),
        )
        for file in sorted((CONF / "baseline").glob("*.yaml"))
    },
    "evaluate": ("evaluate", "folder=."),
    "prepare": ("prepare", "folder=."),
    "features": ("features", "videos=a", "collection=b"),
    "wandb": ("train", "folder=.", "logger=wandb", "logger.wandb.sweep=null"),
    **{
        f"app {file.stem}": (
            "app",
            f"model={file.stem}",
            f"model@compare={file.stem}",
            *LEFT.get(f"model={file.stem}", ()),
        )
        for file in sorted((CONF / "model").glob("*.yaml"))
    },
    **{
        command: (command,) for command in ("narrate", "reword", "search", "report", "playroom", "models", "wandb_view")
    },
}


@cache
def composed(*words: str) -> Any:
    command, *overrides = words
    return OmegaConf.to_container(compose(*overrides, config=command), resolve=True)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_leaf_of_conf_is_declared_and_within_its_range(name: str) -> None:
    config = composed(*COMMANDS[name])
    require_valid(config)
    undeclared = {key for key, value, kind in leaves(config) if kind is None and value not in ({}, None)}
    assert not undeclared, "declare them in src/settings/"


@pytest.mark.slow
def test_nothing_is_declared_that_no_file_has() -> None:
    groups = ("+sweep", "baseline", "hydra", "index", "logger", "model", "size")
    choices = [("train", "folder=.", each, *LEFT.get(each, ())) for each in CHOICES if not each.startswith(groups)]
    found = {
        key.rsplit(".", 1)[-1]
        for words in (*COMMANDS.values(), *choices)
        for key, _, kind in leaves(composed(*words))
        if kind
    }
    text = "\n".join(path.read_text() for path in CONF.rglob("*.yaml"))
    assert {key for key in SETTINGS if key.rsplit(".", 1)[-1] not in {*found, "*"}} <= {"ids", "frames.patience"}
    ours = {target for target in PARTS if target.startswith("src.")}
    assert {target for target in ours if target not in text} <= {
        "src.runs.callbacks.BestCheckpoint",
        "lightning.pytorch.callbacks.ModelCheckpoint",
    }


# Each with a word of the line that must be said.
SLIPS = {
    "train": [
        *("seed=-1", "seed=null", "seed=abc", "seed=4294967296", "loader.batch_size=0", "loader.workers=-1"),
        *("trainer.max_epochs=abc", "top=0", "top=1.5", "optimizer.lr=-1", "optimizer.lr=0", "optimizer.lr=.nan"),
        *("paragraph.network.alpha=abc", "paragraph.network.alpha=-1", "callbacks.last.every_n_steps=abc"),
        *("+trainer.limit_val_batches=0", "predictor.network.heads=3", "text.dim=-1", "features.max_snippets=-4"),
        *("predictor.network.dropout=2", "predictor.network.dropout=-0.1", "predictor.network.dropout=1"),
        *("metrics.strict=maybe", "test=maybe", "features.pooling=banana", "features.max_snippets=0"),
        *("features.snippet_seconds=-2", "name=2026_11_24", "data.tests=[]", "data.tests=test_ood"),
        *("trainer.precision=8", "trainer.devices=0", "trainer.gradient_clip_val=-1", "loader.bucket=3"),
        *("predictor.network.similarity=cosine", "predictor.network.ranking_iou=[0.3]", "merger.network.dropout=x"),
        *("callbacks.best.mode=most", "scheduler.end_factor=2", "data.scored_as=both", "features.fill=none"),
        *("features.dim=0", "metrics.least_ious=[2]", "metrics.tops=[]", "metrics.of.average_precision.top=0"),
        *("metrics.of.average_precision.lengths.short=[0]", "text.encoder.dim=a", "narrator.batch_size=1.5"),
        *("narrator.interval=0", "narrator.quantization=2bit", "ckpt_path=3", "paths.data=null"),
    ],
    "evaluate": ["checkpoint=5", "predictions=true", "split=5", "split=[]", "+baseline.seed=-1"],
    "prepare": ["stats=maybe", "convert_checkpoint=5"],
    "narrate": [
        *("videos=5", "merge=[]", "merge=5", "retry_failed=maybe", "frames.reader=opencv", "frames.longest=0"),
        *("frames.ahead=-1", "ray.workers=-1", "ray.gpus=x", "shards=0", "report=2"),
    ],
    "report": ["runs=5", "runs=folder", "examples=-1", "examples=x", "columns=mIoU", "labels=[3]", "title=[a]"],
    "playroom": ["size.train=0", "size.val=x", "seed=-1", "workers=-1"],
    "models": ["about=3", "output=5"],
    "wandb_view": ["by=merger", "project=3"],
}
CASES = [(command, slip) for command, slips in SLIPS.items() for slip in slips]


@pytest.mark.parametrize(("command", "slip"), CASES, ids=[f"{command} {slip}" for command, slip in CASES])
def test_a_slip_is_one_line_with_the_setting_its_value_and_its_range(command: str, slip: str) -> None:
    folder = ["folder=."] if command in ("train", "evaluate", "prepare") else []
    prior = ["baseline=prior"] if "baseline." in slip else []
    slip = slip.removeprefix("+") if prior else slip
    config = OmegaConf.to_container(compose(*folder, *prior, slip, config=command), resolve=True)
    with pytest.raises(UserError) as caught:
        require_valid(config)
    message, key = str(caught.value), slip.removeprefix("+").split("=")[0]
    # A setting that others take over is told under any of their names.
    assert f"{key.rsplit('.', 1)[-1]}=" in message
    assert ": give " in message
    assert "\n" not in message


def test_a_tag_that_weights_and_biases_would_refuse_is_told() -> None:
    config = composed("train", "folder=.", "logger=wandb", "logger.wandb.sweep=null", f"name={'a' * 65}")
    config = {**config, "logger": {"wandb": {**config["logger"]["wandb"], "tags": ["a" * 65]}}}
    with pytest.raises(UserError, match=r"logger\.wandb\.tags"):
        require_valid(config)


ANY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=300),
    st.lists(st.integers() | st.text(max_size=3) | st.none(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@settings(max_examples=200)
@given(st.sampled_from([key for key, _, kind in leaves(composed("train", "folder=.")) if kind]), ANY)
def test_whatever_is_given_to_a_setting_is_taken_or_told(key: str, value: Any) -> None:
    config = OmegaConf.to_container(OmegaConf.create(composed("train", "folder=.")))
    assert isinstance(config, dict)
    node: Any = config
    *above, last = key.split(".")
    for name in above:
        node = node[name]
    node[last] = value
    try:
        require_valid(config)
    except UserError as error:
        message = str(error)
        assert message.isprintable()
        assert len(message) < 500
        assert key in message or "heads" in message


def test_what_is_no_part_of_ours_has_settings_of_its_own() -> None:
    config = composed("train", "folder=.")
    network = {"_target_": "own.Predictor", "dropout": "much", "heads": -1}
    require_valid({**config, "predictor": {"name": "own", "network": network}})


def test_every_kind_says_what_it_is() -> None:
    kinds: list[Kind] = [*SETTINGS.values(), *(kind for part in PARTS.values() for kind in part.values())]
    assert all(kind.said for kind in kinds)


def run(command: str, *overrides: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"src.{command}", f"hydra.run.dir={folder}/run", *overrides],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )


def test_a_command_ends_with_the_line_and_does_nothing(tmp_path: Path) -> None:
    done = run("train", "seed=-1", f"paths.data={tmp_path}", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "error: seed=-1: give a whole number from 0 to 4294967295\n"
    assert not (tmp_path / "run" / "status.json").exists()
