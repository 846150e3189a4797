"""What is typed as a path is a path, and no secret is written down."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from src.arguments import as_meant
from src.errors import UserError

_SECRET = "sk-secret-0123456789"


def _value(argument: str, *others: str) -> object:
    (override,) = OverridesParser.create().parse_overrides(as_meant([argument, *others], {})[:1])
    return override.value()


@pytest.mark.parametrize("key", ["videos", "+features.videos", "++output", "paths.data", "checkpoint"])
@pytest.mark.parametrize(
    "path",
    [
        *(
            "2024",
            "1e3",
            "true",
            "007",
            "1_000",
            "a,b",
            "[a]",
            "{a:b}",
            "range(3)",
            "new=[old]/x.mp4",
            "it's",
            "~/clips",
        ),
        *("/data/clips (1), [new]", "'a', b'", "a b", "x:y", "50%", "'tis"),
    ],
)
def test_a_path_needs_no_quotes(key: str, path: str) -> None:
    assert _value(f"{key}={path}") == path


@given(path=st.text(alphabet="aZ1. ()[]{},=:~%&#@!\"'é-_/*?", min_size=1).filter(lambda path: path == path.strip()))
def test_any_path(path: str) -> None:
    # In quotes of the user's it is what stands in them.
    if not (path[0] == path[-1] and path[0] in "'\"") and path.lower() != "null":
        assert _value(f"videos={path}") == path


def test_what_is_meant_for_hydra_is_left_alone() -> None:
    assert _value("videos=null") is None
    assert _value("videos='a (b)'") == "a (b)"
    assert _value("merge=[a,b]") == ["a", "b"]
    assert _value("runs=[a]") == ["a"]
    assert _value("videos=${paths.data}/x") == "${paths.data}/x"
    assert as_meant(["-m", "videos=a,b", "seed=0,1", "top=2024"], {}) == ["-m", "videos=a,b", "seed=0,1", "top=2024"]
    assert _value("videos=2024", "-m") == "2024"


@pytest.mark.parametrize(
    "argument",
    [
        f"narrator.url=http://user:{_SECRET}@host/v1",
        f"narrator.url=http://host/v1?key={_SECRET}",
        f"narrator.key={_SECRET}",
        f"+narrator.generation.api_key={_SECRET}",
        f"logger.init.notes=see {_SECRET}",
    ],
)
def test_a_secret_is_refused_before_anything_is_written(argument: str) -> None:
    with pytest.raises(UserError, match=r"written down|environment variable") as caught:
        as_meant([argument], {"OPENAI_API_KEY": f"{_SECRET}\n", "HOME": "/root"})
    assert _SECRET not in str(caught.value)


def test_the_command_says_what_to_quote_and_writes_no_secret(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "src.narrate", f"paths.outputs={tmp_path}", *arguments],
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=False,
        )

    done = run("narrator.name=a (b)")
    assert done.returncode == 1
    assert "narrator.name=a (b) cannot be understood" in done.stderr
    assert done.stderr.count("\n") == 1
    done = run("narrator=endpoint", "narrator.name=a", "narrator.model=m", f"narrator.url=http://me:{_SECRET}@host/v1")
    assert done.returncode == 1
    assert _SECRET not in done.stdout + done.stderr
    assert not any(_SECRET in path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file())
    done = run("videos=no (such), place=[1]", "hydra.run.dir=" + str(tmp_path / "run"))
    assert "error: no videos at no (such), place=[1]: give videos=FOLDER" in done.stderr
