"""What a run says that it rests on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from src.data.records import Moment
from src.runs.provenance import LARGEST_PATCH, Code, annotation_digests, code


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with this project's layout and one commit."""
    for file in ("src/runs/provenance.py", "conf/train.yaml", ".gitignore"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("outputs/\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "first")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_code_as_committed_has_a_commit_and_no_patch(project: Path) -> None:
    (project / "outputs").mkdir()
    (project / "outputs" / "metrics.json").write_text("{}")
    (project / "notes.txt").write_text("no code")
    assert code(project) == Code({"commit": git(project, "rev-parse", "HEAD").strip(), "changed": False}, "")


def test_a_new_file_and_a_change_are_told_and_kept(project: Path) -> None:
    (project / "src" / "models").mkdir()
    (project / "src" / "models" / "gated.py").write_text("GATED = 'é'\n")
    (project / "conf" / "train.yaml").write_text("seed: 1\n")
    found = code(project)
    assert found.said["changed"]
    git(project, "stash", "--include-untracked")
    (project / "changes.patch").write_text(found.patch)
    git(project, "apply", "changes.patch")
    assert (project / "src" / "models" / "gated.py").read_text() == "GATED = 'é'\n"
    assert (project / "conf" / "train.yaml").read_text() == "seed: 1\n"


def test_changes_too_large_to_keep_are_told(project: Path) -> None:
    (project / "src" / "weights.txt").write_text("1 " * LARGEST_PATCH)
    assert code(project).said["changed"]
    assert not code(project).patch


def test_a_repository_that_is_not_this_projects_is_not_named(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    assert code(tmp_path).said == {"commit": None, "changed": False}


def test_annotations_have_a_digest_that_any_change_changes() -> None:
    moment = Moment("a/0", "a", "a person sits", ((0.0, 1.0),), 2.0)
    other = Moment("a/0", "a", "a person sits", ((0.0, 1.1),), 2.0)
    same = annotation_digests({"train": [moment], "val": [moment]})
    assert same["train"] == same["val"] != annotation_digests({"train": [other]})["train"]
