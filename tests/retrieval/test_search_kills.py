"""A search that is killed again and again while it narrates and indexes ends with the answers of an undisturbed one."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import pytest

from tests.narrators.test_kills import killed
from tests.retrieval.captions import settings, write_captions


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_five_kills_of_the_command(tmp_path: Path) -> None:
    told = {f"v{n:03}": [f"a {n} opens door {(7 * n + k) % 11}" for k in range(60)] for n in range(300)}

    def command(place: Path) -> list[str]:
        place.mkdir(exist_ok=True)
        write_captions(place / "captions.json", told)
        given = [*settings(place), "query=door 3 of 7 opens", f"output={place}/found.jsonl"]
        return [sys.executable, "-m", "src.search", *given]

    whole, broken = command(tmp_path / "whole"), command(tmp_path / "broken")
    started = time.monotonic()
    assert not killed(whole, 600)
    length = time.monotonic() - started
    moments, output = random.Random(0), tmp_path / "broken" / "found.jsonl"
    for _ in range(25):
        killed(broken, moments.uniform(0.1, 0.95) * length)
    assert not killed(broken, 600)
    assert output.read_bytes() == (tmp_path / "whole" / "found.jsonl").read_bytes()
