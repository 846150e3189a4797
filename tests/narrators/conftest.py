"""Tiny checkpoints, saved once a run."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.narrators.tiny import save_llava

    return save_llava(tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="session")
def blip2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.narrators.tiny import save_blip2

    return save_blip2(tmp_path_factory.mktemp("blip2"))


@pytest.fixture(scope="session")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.narrators.tiny import save_qwen

    return save_qwen(tmp_path_factory.mktemp("qwen"))
