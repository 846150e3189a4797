"""Small faults put into the code, one at a time: which of them do the tests notice?

python -m benchmarks.mutants                            every group of modules below
python -m benchmarks.mutants moments metrics --sample 40   of two of them 40 faults each, always the same ones
python -m benchmarks.mutants moments --sample 40 --seed 1  40 others, by which tests that the first led to are judged

Needs pip install '.[mutants]' (cosmic-ray, which makes the faults). Works on a copy below outputs/mutants, goes on
where it was broken off, and starts a group anew when its code has changed. When its tests have changed, the faults that
went unseen are tried again; what was noticed is taken to be noticed still. The report names each that went unseen.
"""

from __future__ import annotations

import argparse
import ast
import gc
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, chdir
from functools import cache
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from time import monotonic

from cosmic_ray.commands import init
from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkItem, WorkResult

PROJECT = Path(__file__).parents[1]
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.txt")
"""Faults that change nothing that a user could see: `path :: the line with the fault :: the reason`, a line each."""

GROUPS = {
    "moments": {"src/moments.py": "tests/test_moments.py"},
    "metrics": {
        "src/metrics/corpus.py": "tests/metrics/test_corpus.py",
        "src/metrics/highlights.py": "tests/metrics/test_highlights.py tests/metrics/test_recall.py",
        "src/metrics": "tests/metrics/test_recall.py tests/metrics/test_corpus.py tests/metrics/test_highlights.py",
    },
    "predictions": {"src/runs/predictions.py": "tests/runs/test_predictions.py"},
    "data": {
        "src/data/annotations/parts.py": "tests/data/annotations/test_parts.py",
        "src/data/annotations": "tests/data/annotations/test_readers.py",
        "src/data/batch.py": "tests/data/test_batch.py tests/data/test_datamodule.py",
        "src/data/caption_formats.py": "tests/data/test_narratives.py tests/test_odd_files.py",
        "src/data/feature_stores.py": "tests/data/test_layouts.py tests/features/test_pipeline.py"
        " tests/test_prepare.py",
        "src/data/layouts.py": "tests/data/test_layouts.py tests/test_odd_files.py",
        "src/data/narratives.py": "tests/data/test_narratives.py",
        "src/data/records.py": "tests/metrics/test_highlights.py tests/data/annotations/test_readers.py"
        " tests/data/test_narratives.py",
        "src/data/rewordings.py": "tests/rewording/test_rewording.py",
        "src/data/sampler.py": "tests/data/test_sampler.py",
        "src/data/similarity.py": "tests/data/test_similarity.py",
        "src/data/splits.py": "tests/data/test_splits.py",
        "src/data/statistics.py": "tests/data/test_statistics.py",
        "src/data/store.py": "tests/data/test_store.py tests/data/test_text_stores.py tests/test_odd_files.py",
        "src/data/tags.py": "tests/models/test_primitives.py",
        "src/data/text_stores.py": "tests/data/test_text_stores.py tests/rewording/test_rewording.py",
        "src/data": "tests/data/test_datamodule.py tests/data/test_loader.py",
    },
    "models": {
        **{
            f"src/models/detr/{name}.py": f"tests/models/detr/test_{name}.py tests/models/detr/test_predictors.py"
            for name in ("bm_detr", "cg_detr", "eatr", "mesm", "task_weave", "tr_detr", "uvcom")
        },
        "src/models/detr/published.py": "tests/models/detr/test_published.py tests/test_conversion.py",
        **{f"src/models/detr/{name}.py": "tests/models/detr" for name in ("labels", "losses")},
        "src/models/detr": "tests/models/detr/test_values.py tests/models/detr/test_parts.py"
        " tests/models/detr/test_parity.py tests/models/detr/test_predictors.py",
        **{
            f"src/models/{name}.py": f"tests/models/test_{name}.py"
            for name in ("dropout", "negatives", "primitives", "schedules", "shuffling")
        },
        **{
            f"src/models/{family}/published.py": "tests/test_conversion.py"
            for family in ("points", "proposals", "span")
        },
        "src/models/regression/published.py": "tests/models/regression/test_lgi.py tests/test_conversion.py",
        "src/models/points": "tests/models/points",
        "src/models/proposals": "tests/models/test_values.py tests/models/proposals",
        "src/models/regression": "tests/models/regression",
        "src/models/span/qave.py": "tests/models/test_shuffling.py",
        "src/models/span": "tests/models/test_values.py tests/models/test_span_parity.py tests/models/span"
        " tests/models/test_tea.py",
        "src/models/tea.py": "tests/models/test_tea.py tests/test_training.py",
        "src/models": "tests/models/test_values.py tests/models/test_tea.py tests/models/test_span_parity.py"
        " tests/models/detr/test_parts.py tests/models/detr/test_parity.py",
    },
    "runs": {
        "src/runs/epochs.py": "tests/runs/test_epochs.py",
        "src/runs/averaging.py": "tests/runs/test_averaging.py",
        "src/runs/predictions.py": "tests/runs/test_predictions.py",
        "src/runs/trust.py": "tests/runs/test_trust.py tests/runs/test_attacks.py",
        "src/runs/checkpoints.py": "tests/runs/test_checkpoints.py tests/runs/test_folder.py",
        "src/runs/provenance.py": "tests/runs/test_provenance.py",
        "src/runs/configuration.py": "tests/runs/test_folder.py tests/runs/test_moving.py",
        "src/runs/folder.py": "tests/runs/test_folder.py tests/reporting/test_damaged_runs.py",
        "src/runs/reading.py": "tests/reporting/test_report.py tests/reporting/test_damaged_runs.py",
        "src/runs/wandb.py": "tests/test_wandb.py",
        "src/runs/jobs.py": "tests/runs/test_sweeps.py",
        "src/runs/processes.py": "tests/runs/test_processes.py",
        "src/runs/sweeps.py": "tests/runs/test_sweeps.py tests/test_sweep.py",
        "src/runs/callbacks.py": "tests/runs/test_continuing.py tests/test_training.py tests/test_restart.py",
    },
    "reporting": {
        "src/reporting/bootstrap.py": "tests/reporting/test_bootstrap.py",
        "src/reporting/tables.py": "tests/reporting/test_tables.py",
    },
    "baselines": {
        "src/baselines/asked.py": "tests/baselines/test_asked.py",
        "src/baselines/vtg_gpt.py": "tests/baselines/test_vtg_gpt.py",
        "src/baselines": "tests/baselines/test_baselines.py",
    },
}
"""For each group its modules, or folders of them, and the tests that are to notice a fault in them: the cheapest first,
as the first failure decides. A module goes by the first entry that holds it; modules are tried in this order."""

IMPORTED = (
    *("torch", "lightning.pytorch", "torchmetrics", "transformers", "hydra", "h5py", "scipy.stats", "scipy.optimize"),
    *("matplotlib.figure", "hypothesis", "pytest", "_hypothesis_pytestplugin", "pytest_timeout"),
)
"""What most tests need and no fault is put into: imported once, in the process that all tests are forked from."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], metavar="GROUP", help="all of them by default")
    parser.add_argument("--sample", type=int, default=0, help="so many faults of each group; 0 for all")
    parser.add_argument("--seed", type=int, default=0, help="which sample")
    parser.add_argument("--place", type=Path, default=Path("outputs/mutants"), help="where sessions are kept")
    arguments = parser.parse_args()
    for name in IMPORTED:
        import_module(name)
    gc.freeze()  # Tests collect garbage; what was imported is none.
    rows = []
    for name in arguments.groups or GROUPS:
        session = run(name, arguments.place.resolve() / name, arguments.sample, arguments.seed)
        rows.append((name, *report(session)))
    print(f"{'group':12} {'faults':>7} {'noticed':>8} {'share':>7}  (equivalent ones left out: {EQUIVALENT.name})")
    for name, faults, noticed in rows:
        print(f"{name:12} {faults:7} {noticed:8} {100 * noticed / max(faults, 1):6.1f}%")


def run(name: str, place: Path, sample: int, seed: int) -> Path:
    """Try the faults of a group that are still to be tried; returns the session's file."""
    tests: dict[str, Sequence[str]] = {}
    for where, theirs in GROUPS[name].items():
        for module in files([where]):
            tests.setdefault(module, tuple(theirs.split()))
    code = digest(tests, f"{sample} {seed}")
    checks = digest(files(test for given in tests.values() for test in given))
    session, stamp, copy = place / "session.sqlite", place / "digests", place / "copy"
    code_before, checks_before = stamp.read_text().split() if stamp.is_file() else ("-", "-")
    if code != code_before:
        shutil.rmtree(place, ignore_errors=True)
        checks_before = "-"
    # A run that was broken off may have left a fault in its copy.
    shutil.rmtree(copy, ignore_errors=True)
    for file in subprocess.check_output(["git", "ls-files"], cwd=PROJECT, text=True).splitlines():
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / file, copy / file)
    os.environ.setdefault("TEA_SHARED", str(PROJECT.parent / "shared"))
    with chdir(copy), use_db(session, WorkDB.Mode.create) as database:
        if code != code_before:
            init([Path(module) for module in tests], database, {})
            thin_out(database, sample, seed)
            stamp.write_text(f"{code} -")
        unseen = [
            item
            for item, result in database.completed_work_items
            if checks != checks_before and result.test_outcome == TestOutcome.SURVIVED
        ]
        pending = [(item, item.mutations[0]) for item in (*unseen, *database.pending_work_items)]
        pending.sort(key=lambda each: list(tests).index(str(each[1].module_path)))
        for number, (item, fault) in enumerate(pending, start=1):
            given = tests[str(fault.module_path)]
            database.set_result(item.job_id, tried(fault, given, 60 + 10 * seconds_of_sound(given)))
            if number % 20 == 0 or number == len(pending):
                print(f"{name}: {number} of {len(pending)}", flush=True)
        stamp.write_text(f"{code} {checks}")
    return session


def files(places: Iterable[str]) -> list[str]:
    """The Python files that are these places of the project, or lie in them."""
    found: dict[str, None] = {}
    for place in places:
        path = PROJECT / place.split("::")[0]
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            found[str(file.relative_to(PROJECT))] = None
    return list(found)


def digest(paths: Iterable[str], also: str = "") -> str:
    found = hashlib.sha256(also.encode())
    for path in paths:
        found.update(path.encode() + (PROJECT / path).read_bytes())
    return found.hexdigest()


def thin_out(database: WorkDB, sample: int, seed: int) -> None:
    """Leave one fault of a kind at a place, none that no result can show, and of the rest a sample."""
    items = sorted(database.work_items, key=lambda item: _place(item.mutations[0]))
    random.Random(seed).shuffle(items)
    inert = {path: inert_places(path) for path in {item.mutations[0].module_path for item in items}}
    kept: dict[tuple[object, ...], WorkItem] = {}
    for item in items:
        fault = item.mutations[0]
        kind = fault.operator_name.split("_")[0]
        place = (fault.start_pos[0], fault.start_pos[1])
        if not any(start <= place < end for start, end in inert[fault.module_path]):
            kept.setdefault((str(fault.module_path), fault.start_pos, kind), item)
    chosen = list(kept.values())[: sample or None]
    skipped = {item.job_id for item in items} - {item.job_id for item in chosen}
    database.set_multiple_results(skipped, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))


def _place(fault: MutationSpec) -> tuple[str, str, int]:
    return str(fault.module_path), fault.operator_name, fault.occurrence


def inert_places(file: Path) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The (start, end) places of a file that no result depends on: type annotations, which Python does not evaluate
    here, and guards against the code's own mistakes (assertions, `strict` of zip, `frozen`, `slots` and
    `kw_only` of a dataclass, abstractmethod)."""
    found: list[ast.AST | None] = []
    for node in ast.walk(ast.parse(file.read_text())):
        found += [getattr(node, "annotation", None), getattr(node, "returns", None)]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("zip", "dataclass"):
            found += [word.value for word in node.keywords if word.arg in ("strict", "frozen", "slots", "kw_only")]
        if isinstance(node, ast.Assert):
            found.append(node)
        if isinstance(node, ast.FunctionDef):
            names = [each for each in node.decorator_list if isinstance(each, ast.Name)]
            found += [name for name in names if name.id == "abstractmethod"]
    # A decorator's fault takes the @ with it.
    return [
        ((node.lineno, node.col_offset - 1), (node.end_lineno, node.end_col_offset))  # type: ignore[attr-defined]
        for node in found
        if isinstance(node, ast.AST)
    ]


def tried(fault: MutationSpec, tests: Sequence[str], limit: float) -> WorkResult:
    """What the tests say to a fault; the result's `diff` is the first line that it changed."""
    operator = get_operator(fault.operator_name)(**fault.operator_args)
    with ExitStack() as mutated:
        try:
            sound, faulty = mutated.enter_context(use_mutation(fault.module_path, operator, fault.occurrence))
        except AttributeError:  # cosmic-ray replaces no exception that is named with its module
            faulty = None
        if faulty is None:
            return WorkResult(worker_outcome=WorkerOutcome.NO_TEST)
        pairs = zip(sound.splitlines(), faulty.splitlines(), strict=False)
        line = next((after.strip() for before, after in pairs if before != after), "")
        outcome = TestOutcome.SURVIVED if passes(tests, limit) else TestOutcome.KILLED
        return WorkResult(worker_outcome=WorkerOutcome.NORMAL, test_outcome=outcome, diff=line)


@cache
def seconds_of_sound(tests: Sequence[str]) -> float:
    """How long the tests take on code without a fault, on which they must pass."""
    started = monotonic()
    if not passes(tests, limit=3600):
        sys.exit(f"{' '.join(tests)} fails on the code as it is, or is not there: mend that first")
    return monotonic() - started


def passes(tests: Sequence[str], limit: float) -> bool:
    """Whether the tests pass on the code of the current folder within `limit` seconds."""
    process = get_context("fork").Process(target=_in_a_fork, args=(tests,))
    process.start()
    process.join(limit)
    if process.is_alive():
        os.killpg(process.pid or 0, signal.SIGKILL)
        process.join()
    return process.exitcode == 0


def _in_a_fork(tests: Sequence[str]) -> None:
    import hypothesis
    import pytest

    os.setsid()
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    # What is compiled is told from a fault of the same second and size by nothing.
    sys.dont_write_bytecode, os.environ["PYTHONDONTWRITEBYTECODE"] = True, "1"
    # A failing example need not be the smallest, and what few examples notice, the suite's more do as well.
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile(
        "mutants", deadline=None, max_examples=30, phases=phases, suppress_health_check=list(hypothesis.HealthCheck)
    )
    # The other plugins cost a second, and none is needed.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    how = ("-x", "-q", "-p", "no:cacheprovider", "-p", "_hypothesis_pytestplugin", "-p", "pytest_timeout")
    sys.exit(pytest.main([*how, "--hypothesis-profile=mutants", "--hypothesis-seed=0", *tests]))


def report(session: Path) -> tuple[int, int]:
    """Print what went unseen; returns how many faults were tried, equivalent ones aside, and how many noticed."""
    known = {tuple(line.split(" :: ")[:2]) for line in EQUIVALENT.read_text().splitlines()}
    faults = noticed = 0
    with use_db(session, WorkDB.Mode.open) as database:
        for item, result in sorted(database.completed_work_items, key=lambda pair: _place(pair[0].mutations[0])):
            fault = item.mutations[0]
            if result.worker_outcome != WorkerOutcome.NORMAL or (str(fault.module_path), result.diff) in known:
                continue
            faults += 1
            noticed += result.test_outcome == TestOutcome.KILLED
            if result.test_outcome == TestOutcome.SURVIVED:
                print(f"unseen: {fault.module_path}:{fault.start_pos[0]}: {result.diff}")
    return faults, noticed


if __name__ == "__main__":
    main()
