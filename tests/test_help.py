"""What the commands say of themselves, and of a setting that there is not."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
import yaml

from src.command import run
from src.errors import UserError
from src.help import details, overview
from tests.compose import CONF

COMMANDS = sorted(file.stem for file in (CONF.parent / "src" / "commands").glob("[a-z]*.py"))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_a_screen_that_explains_every_setting_of_its_own(name: str) -> None:
    said = overview("What it does.", name, [])
    lines = said.splitlines()
    assert len(lines) <= 60
    assert said.startswith("What it does.")
    body = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    for key in body.keys() - {"defaults", "hydra"}:
        assert any(line.startswith(f"  {key}") for line in lines), key
    for default in body["defaults"]:
        for group in default if isinstance(default, dict) and "hydra" not in default else ():
            assert any(line.startswith(f"  {group} ") for line in lines), group


def test_of_a_group_with_many_choices_some_are_listed_and_where_all_are() -> None:
    said = overview("", "train", [])
    assert "… (all: help=experiment)" in said
    assert "qvhighlights_uvcom" not in said
    assert "qvhighlights_uvcom" in details("experiment", "train", [])


def test_a_command_lists_only_groups_that_it_uses() -> None:
    assert "\n  baseline " not in overview("", "train", [])
    assert "\n  baseline " in overview("", "evaluate", [])
    assert "\n  predictor " not in overview("", "report", [])


def test_a_group_is_told_with_its_comments_and_ranges() -> None:
    said = details("predictor", "train", [])
    assert "\n  qd_detr " in said
    assert "conf/predictor/emb.yaml:" in said
    assert (CONF / "predictor" / "emb.yaml").read_text().splitlines()[0] in said
    assert "predictor.network.dropout: a number from 0 up to, but not, 1" in said
    # A choice comes with the files that it builds on.
    said = details("features=vgg", "train", [])
    assert said.index("conf/stored_features.yaml:") < said.index("conf/features/vgg.yaml:")
    assert "loader.batch_size=16" in details("loader", "train", [])
    assert "loader.batch_size: a whole number, 1 or more" in details("loader", "train", [])
    assert "examples: a whole number, 0 or more" in details("examples", "report", [])


def test_a_folder_of_ones_own_is_among_the_choices(tmp_path: Path) -> None:
    (tmp_path / "merger").mkdir()
    (tmp_path / "merger" / "gated.yaml").write_text("# A gate.\nname: gated\n")
    for option in (["--config-dir", str(tmp_path)], [f"--config-dir={tmp_path}"]):
        assert " gated " in overview("", "train", option)
        assert "gated" in details("merger", "train", option)
        assert "# A gate." in details("merger=gated", "train", option)


@pytest.mark.parametrize(
    ("what", "said"),
    [("predictr", "did you mean predictor?"), ("merger=ad", "did you mean add?"), ("x", "no such group or setting")],
)
def test_help_on_what_there_is_not(what: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        details(what, "train", [])
    assert said in str(caught.value)


def started(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["src.train", *arguments])
    runpy.run_module("src.train", run_name="__main__", alter_sys=True)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["trainer.max_epoch=3"], "there is no setting trainer.max_epoch: did you mean trainer.max_epochs?"),
        (["predictr=emb"], "there is no setting predictr: did you mean predictor?"),
        (["lr=0.1"], "there is no setting lr: did you mean optimizer.lr?"),
        (["predictor=qd_detr", "predictor.network.querys=3"], "did you mean predictor.network.queries?"),
        (["zzz=1"], "there is no setting zzz: see python -m src.train --help"),
    ],
    ids=str,
)
def test_a_mistyped_setting_suggests_the_nearest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, given: list[str], meant: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        started(monkeypatch, f"hydra.run.dir={tmp_path}/run", *given)
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert meant in line
    assert not (tmp_path / "run").exists()


def test_a_program_without_a_config_helps_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["src.text", "--help"])
    run(lambda: pytest.fail("it ran"), "Prints which text encoder there is.\n\npython -m src.text\n")
    assert capsys.readouterr().out == "Prints which text encoder there is.\n\npython -m src.text\n"
