"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and golden numbers. Set TEA_SHARED; by default it is looked for beside the project."""
    place = Path(os.environ.get("TEA_SHARED", Path(__file__).parents[2] / "shared")).resolve()
    if not place.is_dir():
        reason = f"no shared test data at {place}: set TEA_SHARED"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return place
