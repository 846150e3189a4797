"""OpenAI-compatible servers: one that misbehaves on purpose, and the one of transformers in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

Behaviour = Callable[[BaseHTTPRequestHandler, dict[str, Any]], None]


class Server:
    """A running server, and what it saw: bodies and keys of requests, and how many were at once."""

    def __init__(self, behaviours: list[Behaviour]) -> None:
        """The n-th request meets the n-th of `behaviours`, and those after the last meet the last."""
        self.behaviours = behaviours
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.url = ""

    def enter(self, request: dict[str, Any], key: str | None) -> Behaviour:
        with self.lock:
            behaviour = self.behaviours[min(len(self.requests), len(self.behaviours) - 1)]
            self.requests.append(request)
            self.keys.append(key)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            return behaviour

    def leave(self) -> None:
        with self.lock:
            self.at_once -= 1


@contextlib.contextmanager
def serve(*behaviours: Behaviour) -> Iterator[Server]:
    server = Server(list(behaviours))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            behaviour = server.enter(request, self.headers.get("Authorization"))
            try:
                behaviour(self, request)
            except OSError:
                pass  # the client has gone
            finally:
                server.leave()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        server.url = f"http://127.0.0.1:{listening.server_address[1]}/v1"
        yield server
        listening.shutdown()


def respond(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def say(text: str | None) -> Behaviour:
    """A completion with `text`."""
    body = json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()
    return lambda handler, request: respond(handler, 200, body)


def answer(finish_reason: str = "stop", **message: Any) -> Behaviour:
    """A completion whose message has these fields."""
    choice = {"message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    return body({"choices": [choice]})


def body(content: Any) -> Behaviour:
    """Anything, as JSON, with the status of a success."""
    written = json.dumps(content).encode()
    return lambda handler, request: respond(handler, 200, written)


def status(code: int, message: str = "", **headers: str) -> Behaviour:
    body = json.dumps({"error": {"message": message}}).encode()
    return lambda handler, request: respond(handler, code, body, **headers)


def slow(seconds: float, then: Behaviour) -> Behaviour:
    def behave(handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
        time.sleep(seconds)
        then(handler, request)

    return behave


def cut_off(handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
    """Half of an answer, then no more."""
    respond(handler, 200, b'{"choices": [{"mess', Content_Length="100")
    handler.close_connection = True


def hang_up(handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
    """No answer at all."""
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def garbage(handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
    respond(handler, 200, b"<html>gateway</html>")


@contextlib.contextmanager
def transformers_serve(folder: Path) -> Iterator[str]:
    """`transformers serve`, once it is up; its log goes into `folder`. Gives the url of its API."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", "--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    log = folder / "serve.log"
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
    try:
        _wait(process, f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    for _ in range(600):
        if process.poll() is not None:
            break
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url).status_code == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"transformers serve did not start: {log.read_text()[-2000:]}")
