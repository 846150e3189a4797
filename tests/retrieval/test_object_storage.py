"""A collection whose index lies in object storage is searched by a process that shares nothing else with its writer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.retrieval.test_index import entry, lance

PROJECT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow

_READER = """
import sys
from pathlib import Path
from tests.retrieval.test_index import asked, entry, lance
storage = {"endpoint": sys.argv[2], "region": "us-east-1", "allow_http": "true"}
kept = lance(Path(sys.argv[1]), place="s3://films/index", storage=storage)
print(sorted(kept.digests()), kept.candidates([asked(entry("b", seed=1), 2)], 1)[0][0].video)
"""


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A server of object storage on this machine, with a bucket `films`."""
    pytest.importorskip("cryptography", reason="moto needs it")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "knows")
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        httpx.put(f"{endpoint}/films", trust_env=False).raise_for_status()
        yield {"endpoint": endpoint, "region": "us-east-1", "allow_http": "true"}
    finally:
        server.stop()


def test_an_index_in_object_storage_is_searched_from_elsewhere(tmp_path: Path, storage: dict[str, str]) -> None:
    kept = lance(tmp_path / "here", place="s3://films/index", storage=storage)
    kept.add([entry("a"), entry("b", seed=1)])
    kept.remove(["a"])
    kept.add([entry("c", seed=2)])
    there = subprocess.run(
        [sys.executable, "-c", _READER, str(tmp_path / "there"), storage["endpoint"]],
        cwd=PROJECT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert there.stdout == "['b', 'c'] b\n", there.stderr
