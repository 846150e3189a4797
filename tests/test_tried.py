"""The table of what was tried can be made, and nothing in it ends in a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tried import CONTENTS, ended, tried


@pytest.mark.slow
def test_nothing_ends_in_a_traceback(tmp_path: Path) -> None:
    ends = {(kind, how): ended(attempt, tmp_path) for kind, how, attempt in tried(tmp_path)}
    assert not [line for line in ends.items() if line[1].startswith("TRACEBACK")]
    assert len(ends) >= 300
    right = list(CONTENTS)[:2]
    assert all(end != "read" for (kind, how), end in ends.items() if kind in ("an odd file", "a run folder"))
    assert all(end == "read" for (kind, how), end in ends.items() if how == right[0])
