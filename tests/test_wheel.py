"""The distribution as a user installs it: in an environment of its own, outside of the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from tests.synthetic import write_small

PROJECT = Path(__file__).parents[1]
SCRIPTS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["scripts"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment with the wheel in it; what it depends on is that of this environment."""
    place = tmp_path_factory.mktemp("fresh")
    venv.create(place, symlinks=True)
    python = place / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True)
    (site,) = place.glob("lib/python*/site-packages")
    # A path alone: the editable installation in it, which a .pth file there names, does not come along.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin"


def run(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("TEA_", "PYTHON"))}
    return subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True, check=False)


def test_it_holds_every_config_and_template_and_no_test(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"src/{file.relative_to(PROJECT)}" for file in (PROJECT / "conf").rglob("*.yaml")} <= names
    assert "src/reporting/templates/report.html" in names
    assert {name.split("/")[0] for name in names if not name.startswith("tea_vmr")} == {"src"}


def test_every_command_is_installed() -> None:
    entries = {path.parent for path in (PROJECT / "src").rglob("__main__.py")}
    entries |= {path for path in (PROJECT / "src").glob("*.py") if "if __name__ ==" in path.read_text()}
    modules = {".".join((*path.relative_to(PROJECT).with_suffix("").parts,)) for path in entries}
    assert {target.split(":")[0].removesuffix(".__main__") for target in SCRIPTS.values()} == modules


@pytest.mark.slow
def test_its_commands_work_outside_the_checkout_beside_a_package_named_src(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "__init__.py").write_text("raise SystemExit('the package of somebody else')\n")
    for script in SCRIPTS:
        done = run(tmp_path, str(installed / script), "--help")
        assert done.returncode == 0, done.stderr
        assert "python -m src." in done.stdout
    small = ["+experiment=charades_cd_i3d", *write_small(tmp_path / "data")]
    for script in ("tea-prepare", "tea-train"):
        done = run(tmp_path, str(installed / script), *small, f"hydra.run.dir={tmp_path}/{script}")
        assert done.returncode == 0, done.stderr
    assert "\ntest_ood" in done.stdout
    assert (tmp_path / "tea-train" / "train.log").is_file()
    assert '"commit": null' in (tmp_path / "tea-train" / "environment.json").read_text()
    done = run(tmp_path, str(installed / "tea-evaluate"), f"checkpoint={tmp_path}/tea-train", *small[1:5])
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_it_is_a_package_in_python(installed: Path, tmp_path: Path) -> None:
    code = "from src.retrieval import Retriever; from src.places import CONF; print(CONF)"
    done = run(tmp_path, str(installed / "python"), "-c", code)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).parts[-3:] == ("site-packages", "src", "conf")
