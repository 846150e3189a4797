"""Fixtures of the DETR tests."""

from __future__ import annotations

import pytest

from tests.models.detr.golden import KINDS


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param
