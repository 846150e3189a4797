"""A table of damaged, odd and mistaken inputs, and how each ends.

python -m tests.tried FOLDER   makes them in FOLDER and prints the table as Markdown. What hostile files do is told by
python -m tests.runs.attacks FOLDER
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from omegaconf import OmegaConf

from src.errors import UserError, reason
from src.runs.reading import find_runs
from src.settings import require_valid
from src.tables import pipes
from tests.compose import compose
from tests.odd_files import ODD
from tests.readers import ARRAYS, TEXTS, beside, hdf5
from tests.reporting.test_damaged_runs import DAMAGES, write_run
from tests.test_settings import SLIPS

CONTENTS: dict[str, Callable[[bytes], bytes]] = {
    "as it should be": lambda good: good,
    "with a byte order mark": lambda good: b"\xef\xbb\xbf" + good,
    "empty": lambda good: b"",
    "half copied": lambda good: good[: len(good) // 2],
    "of bytes": lambda good: bytes(range(256)),
    "in Latin-1": lambda good: good[:-3] + b"\xe9" + good[-3:],
    "packed by gzip": lambda good: b"\x1f\x8b\x08" + good,
    "nested 200,000 deep": lambda good: b"[" * 200_000 + b"\n",
}


def tried(folder: Path) -> Iterator[tuple[str, str, Callable[[], object]]]:
    """What is tried: of what kind it is, what is wrong with it, and what reads it."""
    readers = TEXTS | ARRAYS | hdf5(folder)
    for number, (kind, reader) in enumerate(readers.items()):
        for place, (name, changed) in enumerate(CONTENTS.items()):
            path = folder / f"{number}.{place}" / reader.name
            path.parent.mkdir()
            beside(path.parent)
            path.write_bytes(changed(reader.good))
            yield kind, name, lambda read=reader.read, path=path: read(path)  # type: ignore[misc]
    for number, (name, (file, odd)) in enumerate(ODD.items()):
        path = folder / f"odd{number}" / file
        path.parent.mkdir()
        odd.make(path)
        yield "an odd file", name, lambda read=odd.read, path=path: read(path)  # type: ignore[misc]
    for number, (name, damage) in enumerate(DAMAGES.items()):
        run = write_run(folder / f"run{number}")
        damage(run)
        yield "a run folder", name, lambda run=run: find_runs([run])  # type: ignore[misc]
    for command, slips in SLIPS.items():
        for slip in slips:
            yield f"{command}'s command line", slip, lambda command=command, slip=slip: _settle(command, slip)  # type: ignore[misc]


def _settle(command: str, slip: str) -> None:
    prior = ["baseline=prior"] if "baseline." in slip else []
    needed = ["folder=."] if command in ("train", "evaluate", "prepare") else []
    composed = compose(*needed, *prior, slip.removeprefix("+") if prior else slip, config=command)
    require_valid(OmegaConf.to_container(composed, resolve=True))


def ended(attempt: Callable[[], object], folder: Path) -> str:
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            attempt()
    except UserError as error:
        return str(error).replace(f"{folder}/", "").replace("|", r"\|")[:160]
    except Exception as error:
        return f"TRACEBACK: {reason(error)}"
    return "read"


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    lines = [["what", "how", "end"]]
    for kind, how, attempt in tried(folder):
        lines.append([kind, how.replace("|", r"\|"), ended(attempt, folder)])
    print(pipes(lines))
    ends = [line[-1] for line in lines[1:]]
    failed = sum(end.startswith("TRACEBACK") for end in ends)
    print(f"\n{len(ends)} tried: {ends.count('read')} read, {failed} tracebacks, the others told in one line")


if __name__ == "__main__":
    main()
