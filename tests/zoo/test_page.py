"""The table of models, one of them in full, and the page of docs/."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from src.errors import UserError
from src.zoo import list_models
from src.zoo.page import WIDTH, about, overview, page

PROJECT = Path(__file__).parents[2]
NAMES = sorted({model.name for model in list_models()})


def test_docs_models_is_what_the_command_makes() -> None:
    kept = (PROJECT / "docs" / "models.md").read_text(encoding="utf-8")
    assert kept == page(), "python -m src.models output=docs/models.md"


def test_the_table_has_a_line_a_model_and_fits_a_terminal() -> None:
    head, *lines = overview().split("\n\n")[0].splitlines()
    assert head.startswith("model ")
    assert len(lines) == len(list_models())
    assert max(map(len, overview().splitlines())) <= WIDTH
    (line,) = (line for line in lines if line.startswith("cg_detr "))
    assert line.split() == ["cg_detr", "Moon", "2023", "12M", "SlowFast+CLIP", "67.3/52.1", "qvhighlights", "val"]


@pytest.mark.parametrize("name", NAMES)
def test_one_in_full_fits_a_terminal(name: str) -> None:
    said = about(name)
    assert f"={name}\n" in said
    assert "\n  chosen  " in said
    assert max(map(len, said.splitlines())) <= WIDTH


def test_one_in_full_has_its_numbers_as_they_were_published() -> None:
    lines = about("tr_detr").splitlines()
    # The one has two decimals throughout, the other one.
    assert "      R1@0.5 64.66  R1@0.7 48.96  mAP 42.62  mAP@0.5 63.98  mAP@0.75 43.73  HL mAP 39.91" in [
        line.replace("\N{NO-BREAK SPACE}", " ") for line in lines
    ]
    assert "R1@0.5 66.5  R1@0.7 48.8" in about("tr_detr").replace("\N{NO-BREAK SPACE}", " ")


def test_a_predictor_and_a_method_of_one_name_are_told_together() -> None:
    said = about("dcm")
    assert "predictor=dcm\n" in said
    assert "method=dcm\n" in said
    assert said.count("Yang, Feng, Ji, Wang, Chua") == 1


def test_a_name_that_there_is_not_is_told_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"about=qd_dert: there is no such model: did you mean qd_detr\?"):
        about("qd_dert")


def test_the_command_prints_and_writes_and_leaves_nothing_else(tmp_path: Path) -> None:
    def run(*words: str) -> str:
        command = [sys.executable, "-m", "src.models", *words, f"paths.outputs={tmp_path}/outputs"]
        return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout

    assert run() == overview() + "\n"
    assert run("about=vslnet") == about("vslnet") + "\n"
    assert run(f"output={tmp_path}/models.md") == f"{tmp_path}/models.md\n"
    assert (tmp_path / "models.md").read_text(encoding="utf-8") == page()
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["models.md"]
