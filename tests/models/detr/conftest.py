"""Fixtures of the DETR tests."""

from __future__ import annotations

import pytest

from src.models.detr.published import KINDS


@pytest.fixture(params=[kind.predictor for kind in KINDS])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param
