"""What the documents tell a user to type exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from src.help import details
from tests.compose import compose, jobs

PROJECT = Path(__file__).parents[1]
DOCUMENTS = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")), *(PROJECT / "experiments").rglob("*.md")]
COMMAND = re.compile(
    r"python -m src\.(train|prepare|evaluate|narrate|features|reword|search|app|report|models|wandb_view) "
    r"((?:\\\n|[^`\n])*)"
)


def commands() -> list[tuple[str, str]]:
    found = set()
    for document in DOCUMENTS:
        for name, arguments in COMMAND.findall(document.read_text()):
            found.add((name, " ".join(arguments.replace("\\\n", " ").split("#")[0].split())))
    # What a user adds is tested in test_extending.py.
    return sorted((name, arguments) for name, arguments in found if not re.search("--config-dir|…|=NAME", arguments))


@pytest.mark.parametrize(("name", "arguments"), commands())
def test_a_documented_command_composes(name: str, arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [word for word in shlex.split(arguments) if "=" in word]
    if words and words[0].startswith("help="):
        assert details(words[0].removeprefix("help="), name, [])
        return
    overrides = [word for word in words if not word.startswith("hydra")]
    for job in jobs(overrides) if "-m" in shlex.split(arguments) else [overrides]:
        assert compose(*job, config=name)
    for word in words:
        if word.startswith("paper=experiments"):
            assert (PROJECT / word.removeprefix("paper=")).is_file()


def test_documents_point_at_files_that_exist() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if not target.startswith("http"):
                assert (document.parent / target).exists(), f"{document}: {target}"
