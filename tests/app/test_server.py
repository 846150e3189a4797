"""The API answers as the command does, takes uploads within bounds, and lets in whom it should."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from src.app.library import Library
from src.app.server import build
from src.app.uploads import Uploads
from src.retrieval import Collection
from tests.retrieval.captions import settings, write_captions


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    place = tmp_path_factory.mktemp("app")
    write_captions(place / "captions.json")
    collection = Collection(overrides=settings(place))
    found = Library([collection], {"similarity": collection.ranker}, dict)
    found.update()
    while not found.videos():
        time.sleep(0.01)
    return found


@pytest.fixture
def client(library: Library, tmp_path: Path) -> TestClient:
    return TestClient(build(library, Uploads(tmp_path / "uploads", 1000), None))


def test_the_page_and_its_parts_come_with_a_strict_policy(client: TestClient) -> None:
    page = client.get("/")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for part in ("page.js", "page.css"):
        assert f"page/{part}" in page.text
        assert client.get(f"/page/{part}").status_code == 200
    assert "style=" not in page.text
    assert "http" not in page.text.replace("http-equiv", "")
    for other in ("..%2fserver.py", "nothing.js", "%2e%2e"):
        assert client.get(f"/page/{other}").status_code == 404


def test_a_sentence_is_answered_as_by_the_collection(client: TestClient, library: Library) -> None:
    answer = client.post("/search", json={"query": "a dog runs", "top": 3}).json()
    hits = library.collections[0].search("a dog runs", 3)
    assert [(each["name"], each["start"]) for each in answer["moments"]] == [(hit.video, hit.start) for hit in hits]
    key = answer["moments"][0]["video"]
    alone = client.post("/search", json={"query": "a dog runs", "video": key, "model": "similarity"}).json()
    assert {each["video"] for each in alone["moments"]} == {key}
    curve = client.get("/curve", params={"query": "a dog runs", "video": key}).json()
    assert max(curve, key=lambda each: each["cosine"])["text"] == "a dog runs"
    listed = client.get("/status").json()
    assert {each["name"] for each in listed["videos"]} == {"kitchen", "street", "short"}
    assert not any(each["playable"] for each in listed["videos"])


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({"query": " "}, 400, "type a sentence"),
        ({"query": "a", "video": "nowhere"}, 400, "no such video"),
        ({"query": "a", "model": "nothing"}, 400, "no model"),
        ({"query": "a" * 3000}, 422, "2000"),
        ({"query": "a", "top": 0}, 422, "greater"),
    ],
)
def test_what_cannot_be_answered_is_said(client: TestClient, asked: dict[str, object], status: int, said: str) -> None:
    answer = client.post("/search", json=asked)
    assert answer.status_code == status
    assert said in answer.text
    assert "Traceback" not in answer.text


def test_an_upload_is_kept_under_a_name_of_its_own(client: TestClient, tmp_path: Path) -> None:
    done = client.put("/videos", params={"name": "../../etc/My <b>film</b>.MP4"}, content=b"a video")
    assert done.status_code == 200
    (file,) = (tmp_path / "uploads").glob("*.mp4")
    assert file.stem == done.json()["id"]
    assert file.read_bytes() == b"a video"
    assert Uploads(tmp_path / "uploads", 1).names() == {file.stem: "b>.MP4"}


@pytest.mark.parametrize(
    ("name", "content", "status", "said"),
    [
        ("film.mp4", b"x" * 1001, 413, "the most that is taken"),
        ("film.exe", b"x", 400, "is no video"),
        ("film", b"x", 400, "is no video"),
        ("film.mp4", b"", 400, "is empty"),
    ],
)
def test_an_upload_that_is_refused_leaves_nothing(
    client: TestClient, tmp_path: Path, name: str, content: bytes, status: int, said: str
) -> None:
    def pieces() -> object:
        yield content  # without a length that could be looked at first

    for body in (content, pieces()):
        answer = client.put("/videos", params={"name": name}, content=body)  # type: ignore[arg-type]
        assert answer.status_code == status
        assert said in answer.text
    assert not list((tmp_path / "uploads").iterdir())


def test_an_upload_for_which_there_is_no_room_leaves_nothing(client: TestClient, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        answer = client.put("/videos", params={"name": "film.mp4"}, content=b"x" * 200)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert answer.status_code == 507
    assert "cannot be written" in answer.text
    assert not list((tmp_path / "uploads").iterdir())


def test_off_this_machine_only_who_has_the_token_comes_in(library: Library, tmp_path: Path) -> None:
    outside = TestClient(build(library, Uploads(tmp_path, 1000), "the token"), follow_redirects=False)
    for method, path in (
        ("GET", "/"),
        ("GET", "/status"),
        ("POST", "/search"),
        ("PUT", "/videos"),
        ("GET", "/page/page.js"),
    ):
        assert outside.request(method, path).status_code == 401
    assert outside.get("/", params={"token": "another"}).status_code == 401
    assert outside.get("/status", headers={"Authorization": "Bearer the token"}).status_code == 200
    entered = outside.get("/", params={"token": "the token"})
    assert entered.status_code == 303
    assert "HttpOnly" in entered.headers["set-cookie"]
    assert outside.get("/status").status_code == 200


def test_another_sites_name_for_this_machine_is_refused(client: TestClient) -> None:
    refused: httpx.Response = client.get("/status", headers={"Host": "evil.example"})
    assert refused.status_code == 400


def test_the_api_is_described(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/search", "/curve", "/status", "/videos", "/videos/{key}"} <= paths.keys()
    assert client.get("/docs").status_code == 404
