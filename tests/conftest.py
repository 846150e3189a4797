"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

# Before torch is imported: processes that tests compare must add in one order, and tests run side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

# Where whoever runs the tests keeps data, which no test may read or write.
for place in ("DATA", "FEATURES", "STORES", "OUTPUTS"):
    os.environ.pop(f"TEA_{place}", None)

# How long an example takes, and to make one, depends on what else the machine does.
settings.register_profile("tea", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tea")


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
