"""Small faults put into the code, one at a time: which of them do the tests notice?

python -m benchmarks.mutants                            every group of modules below
python -m benchmarks.mutants moments metrics --sample 40   of two of them 40 faults each, always the same ones

Needs pip install '.[mutants]' (cosmic-ray). Works on a copy below outputs/mutants, goes on where it was broken off, and
starts a group anew when its code or its tests have changed. The report names each fault that went unseen.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkItem, WorkResult

PROJECT = Path(__file__).parents[1]
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.txt")
"""Faults that change nothing that a user could see: `path: code: operator: the reason`, a line each."""


class Group(NamedTuple):
    """Modules, and the tests that are to notice a fault in them: the cheapest first, as the first failure decides."""

    modules: str
    tests: str


GROUPS = {
    "moments": Group("src/moments.py", "tests/test_moments.py"),
    "metrics": Group("src/metrics", "tests/metrics"),
    "predictions": Group("src/runs/predictions.py", "tests/runs/test_predictions.py tests/test_evaluate.py"),
    "data": Group("src/data", "tests/data"),
    "models": Group("src/models", "tests/models"),
    "runs": Group("src/runs", "tests/runs tests/test_training.py tests/test_restart.py"),
    "reporting": Group("src/reporting/bootstrap.py src/reporting/tables.py", "tests/reporting"),
    "baselines": Group("src/baselines", "tests/baselines tests/test_evaluate.py"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], metavar="GROUP", help="all of them by default")
    parser.add_argument("--sample", type=int, default=0, help="so many faults of each group; 0 for all")
    parser.add_argument("--place", type=Path, default=Path("outputs/mutants"), help="where sessions are kept")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.groups or GROUPS:
        session = run(name, GROUPS[name], arguments.place.resolve() / name, arguments.sample)
        rows.append((name, *report(session)))
    print(f"{'group':12} {'faults':>7} {'noticed':>8} {'share':>7}  (equivalent: {EQUIVALENT.name})")
    for name, faults, noticed in rows:
        print(f"{name:12} {faults:7} {noticed:8} {100 * noticed / max(faults, 1):6.1f}%")


def run(name: str, group: Group, place: Path, sample: int) -> Path:
    """Try the faults of a group; those that were tried before are not tried again. Returns the session's file."""
    made_of = digest(group, sample)
    session, stamp, copy = place / "session.sqlite", place / "digest", place / "copy"
    if not stamp.is_file() or stamp.read_text() != made_of:
        shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True, exist_ok=True)
    # A run that was broken off may have left a fault in its copy.
    shutil.rmtree(copy, ignore_errors=True)
    for file in subprocess.check_output(["git", "ls-files"], cwd=PROJECT, text=True).splitlines():
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / file, copy / file)
    config = copy / "mutants.toml"
    config.write_text(
        f"""[cosmic-ray]
module-path = {[str(Path(path)) for path in group.modules.split()]}
timeout = 300.0
excluded-modules = []
test-command = "{sys.executable} -m pytest -x -q -p no:cacheprovider {group.tests}"

[cosmic-ray.distributor]
name = "local"
"""
    )
    shared = os.environ.get("TEA_SHARED", str(PROJECT.parent / "shared"))
    environment = os.environ | {"TEA_SHARED": shared, "OMP_NUM_THREADS": "1"}

    def cosmic_ray(command: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "cosmic_ray.cli", command, config, session], cwd=copy, env=environment, check=True
        )

    if not session.is_file():
        cosmic_ray("init")
        thin_out(session, copy, sample)
        stamp.write_text(made_of)
    print(f"{name}: trying", flush=True)
    cosmic_ray("exec")
    return session


def digest(group: Group, sample: int) -> str:
    """Of all that a session's results depend on."""
    found = hashlib.sha256(str(sample).encode())
    for place in [*group.modules.split(), *group.tests.split()]:
        path = PROJECT / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            found.update(file.read_bytes())
    return found.hexdigest()


def thin_out(session: Path, copy: Path, sample: int) -> None:
    """Leave one fault of a kind at a place, none in annotations, and of the rest a sample."""
    chance = random.Random(0)
    with use_db(session, WorkDB.Mode.open) as database:
        items = sorted(database.work_items, key=lambda item: _place(item.mutations[0]))
        chance.shuffle(items)
        annotated = {path: annotated_places(copy / path) for path in {item.mutations[0].module_path for item in items}}
        kept: dict[tuple[object, ...], WorkItem] = {}
        for item in items:
            fault = item.mutations[0]
            kind = fault.operator_name.split("_")[0]
            place = (fault.start_pos[0], fault.start_pos[1])
            if not any(start <= place < end for start, end in annotated[fault.module_path]):
                kept.setdefault((str(fault.module_path), fault.start_pos, kind), item)
        chosen = list(kept.values())[: sample or None]
        skipped = {item.job_id for item in items} - {item.job_id for item in chosen}
        database.set_multiple_results(skipped, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))


def _place(fault: MutationSpec) -> tuple[str, str, int]:
    return str(fault.module_path), fault.operator_name, fault.occurrence


def annotated_places(file: Path) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The (start, end) places of a file's type annotations, which Python does not evaluate here."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        for field in ("annotation", "returns"):
            part = getattr(node, field, None)
            if isinstance(part, ast.expr) and part.end_lineno is not None and part.end_col_offset is not None:
                found.append(((part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset)))
    return found


def report(session: Path) -> tuple[int, int]:
    """Print what went unseen; returns how many faults were tried, equivalent ones aside, and how many noticed."""
    known = [line.split(": ") for line in EQUIVALENT.read_text().splitlines() if line and not line.startswith("#")]
    faults = noticed = 0
    with use_db(session, WorkDB.Mode.open) as database:
        for item, result in database.completed_work_items:
            if result.worker_outcome == WorkerOutcome.SKIPPED:
                continue
            fault = item.mutations[0]
            seen = result.test_outcome != TestOutcome.SURVIVED
            lines = (PROJECT / fault.module_path).read_text().splitlines()
            code = lines[fault.start_pos[0] - 1].strip()
            operator = fault.operator_name.removeprefix("core/")
            if not seen and any(entry[:3] == [str(fault.module_path), code, operator] for entry in known):
                continue
            faults += 1
            noticed += seen
            if not seen:
                print(f"unseen: {fault.module_path}:{fault.start_pos[0]}: {code}: {operator}")
    return faults, noticed


if __name__ == "__main__":
    main()
