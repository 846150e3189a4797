"""Fixtures of the tests of runs."""

from __future__ import annotations

import pytest

from src import ending


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, what is asked to end gets to where a state is kept."""
    monkeypatch.setattr(ending, "PATIENCE", 300.0)
