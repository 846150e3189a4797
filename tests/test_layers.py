"""The house has floors: which room may import which is written here, and an arrow only ever points down."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]

# From the ground up: a room, and the rooms above it in this table that it may import.
MAY_IMPORT: dict[str, str] = {
    "errors": "",
    "ending": "",
    "places": "",
    "moments": "",
    "tables": "",
    "progress": "",
    "hub": "errors",
    "files": "errors",
    "growing": "errors files",
    "arguments": "errors",
    "settings": "errors",
    "help": "errors places settings",
    "text": "errors hub files progress",
    "videos": "errors files",
    "data": "errors moments tables progress files text",
    "features": "errors hub files progress videos data",
    "metrics": "moments tables data",
    "models": "errors moments data metrics",
    "language": "errors hub videos",
    "narrators": "errors hub tables progress files growing text videos data language",
    "rewording": "errors progress files data language",
    "runs": "errors ending places moments progress files arguments data metrics models",
    "build": "errors places files arguments text data metrics models",
    "training": "errors progress metrics models runs",
    "baselines": "errors moments growing progress videos data language runs",
    "retrieval": "errors places moments files arguments settings text videos data features narrators runs build "
    "baselines",
    "app": "errors files videos retrieval",
    "reporting": "errors places tables progress files videos data runs",
    "zoo": "errors places tables files",
    "playroom": "errors progress videos data narrators",
    "command": "errors ending places files arguments settings help runs",
    "commands": "errors places tables progress files growing videos data features metrics models language narrators "
    "rewording runs build training baselines retrieval app reporting zoo playroom",
}


def modules() -> dict[str, Path]:
    """Every module of src by its dotted name."""
    files = {file: file.relative_to(PROJECT).with_suffix("").parts for file in (PROJECT / "src").rglob("*.py")}
    return {".".join(parts).removesuffix(".__init__"): file for file, parts in files.items()}


MODULES = modules()


def is_entry(module: str) -> bool:
    """Whether a module is what `python -m` runs: it stands outside of the rooms and imports its worker."""
    return module.endswith(".__main__") or (PROJECT / "src" / "commands" / f"{module.split('.')[-1]}.py").is_file()


def imports(module: str) -> set[str]:
    """The modules of src that one imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports by a relative path"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in MODULES else str(node.module) for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name in MODULES and name != module}


def room(module: str) -> str:
    return module.split(".")[1]


def test_arrows_point_down() -> None:
    floors = list(MAY_IMPORT)
    for number, (name, below) in enumerate(MAY_IMPORT.items()):
        assert set(below.split()) <= set(floors[:number]), f"{name} may import what stands above it"


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_a_room_imports_what_it_may(name: str) -> None:
    own = [module for module in MODULES if module != "src" and room(module) == name and not is_entry(module)]
    own += [module for module in MODULES if name == "commands" and module.startswith("src.commands.")]
    assert own, f"there is no room {name}"
    used = {room(other): f"{module} → {other}" for module in own for other in imports(module)}
    used.pop(name, None)
    allowed = set(MAY_IMPORT[name].split())
    assert used.keys() <= allowed, [arrow for other, arrow in used.items() if other not in allowed]


def test_every_room_is_in_the_table() -> None:
    assert {room(module) for module in MODULES if module != "src" and not is_entry(module)} == MAY_IMPORT.keys()


def test_no_module_imports_itself_through_others() -> None:
    order = list(TopologicalSorter({module: imports(module) for module in MODULES}).static_order())
    assert len(order) == len(MODULES)


def test_commands_are_found_by_one_rule() -> None:
    for worker in sorted((PROJECT / "src" / "commands").glob("[a-z]*.py")):
        entry = PROJECT / "src" / f"{worker.stem}.py"
        entry = entry if entry.is_file() else PROJECT / "src" / worker.stem / "__main__.py"
        text = entry.read_text()
        assert f"from src.commands.{worker.stem} import {worker.stem}" in text
        assert len(text.splitlines()) < 50, f"{entry} does work of its own"
