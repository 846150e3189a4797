"""A conversation with an OpenAI-compatible server: vLLM, SGLang, llama.cpp, transformers serve, or a hosted one."""

from __future__ import annotations

import base64
import io
import ipaddress
import logging
import os
import random
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from PIL import Image

from src.errors import UserError, reason
from src.language.model import NoAnswerError, Usage
from src.videos.frames import Pixels

_log = logging.getLogger(__name__)

_JPEG_QUALITY = 95
_LONGEST_WAIT = 60.0  # seconds between two attempts
# What a server says when it is busy or in trouble: 408, 425 and 429, and all from 500.
_PASSING = frozenset({408, 425, 429})
# What it would say to every request: wrong key, no right, no such model or address.
_FATAL = frozenset({401, 403, 404, 405})


class Chat:
    """Asks a server for one completion at a time, from as many threads as there are connections.

    Args:
        group: The group of settings that all these are of, for messages: narrator, say.
        url: The base of the API, such as http://localhost:8000/v1.
        model: The model's name at the server.
        generation: The further fields of a request, such as max_tokens and temperature.
        key: The name of the environment variable that holds the server's key; without it, none is sent.
        connections: The requests in flight at once.
        timeout: The seconds to wait for an answer.
        attempts: The attempts at a request when the server is busy, in trouble or too slow.
        backoff: The seconds before the second attempt; doubled before each other, up to a minute, or as the server
            asks.
        wanted: What is asked for, for messages: a caption, say.

    Raises:
        UserError: A setting is out of its range, the key stands in `url` or cannot be sent, or so for the proxy of the
            environment.
    """

    def __init__(
        self,
        group: str,
        url: str,
        model: str,
        generation: Mapping[str, Any],
        key: str,
        connections: int,
        timeout: float,
        attempts: int,
        backoff: float,
        wanted: str = "answer",
    ) -> None:
        if timeout <= 0 or attempts < 1 or backoff < 0:
            raise UserError(
                f"{group}: timeout={timeout} must be positive, attempts={attempts} 1 or more, backoff={backoff} not "
                "negative"
            )
        try:
            address = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise UserError(f"{group}.url is not an address ({error})") from error
        if address.scheme not in ("http", "https"):
            raise UserError(f"{group}.url is {url!r}: give the base of the API, such as http://localhost:8000/v1")
        if address.userinfo or address.query:
            raise UserError(f"{group}.url holds more than an address: the key goes into the environment variable {key}")
        self.group = group
        self.url = url.rstrip("/")
        self.model = model
        self.generation = dict(generation)
        self.key = key
        self.timeout = timeout
        self.attempts = attempts
        self.backoff = backoff
        self.wanted = wanted
        self.usage = Usage()
        self._secret = _secret(key, group)
        self._client = _client(address, self._secret, timeout, connections)

    def ask(self, content: Sequence[Mapping[str, Any]] | str) -> str:
        """What the model says to one message of a user.

        Args:
            content: Text, or parts of text and pictures as the API has them.

        Raises:
            NoAnswerError: It says nothing to this one; it may to others.
            UserError: It would say nothing to any.
        """
        messages = [{"role": "user", "content": content}]
        request = {"model": self.model, "messages": messages, "stream": False, **self.generation}
        for attempt in range(1, self.attempts + 1):
            try:
                return self._ask(request)
            except _PassingError as problem:
                if attempt == self.attempts:
                    raise problem.final(self) from problem
                self._wait(attempt, problem)
        raise AssertionError("unreachable")

    def _ask(self, request: dict[str, Any]) -> str:
        try:
            answer = self._client.post(f"{self.url}/chat/completions", json=request)
        except httpx.ConnectError as error:
            raise _NoServerError(reason(error)) from error
        except httpx.TimeoutException as error:
            raise _PassingError(f"no answer in {self.timeout:g} s") from error
        except httpx.HTTPError as error:  # cut off, among others
            raise _PassingError(reason(error)) from error
        try:
            content = answer.json()
        except ValueError:
            content = None
        wait = _seconds(answer.headers.get("retry-after"))
        if answer.status_code != 200:
            raise self._refusal(answer.status_code, self._said(answer.text), wait)
        if problem := _error(content):
            # Some servers, routers among them, report an error with the status of a success.
            code = problem.get("code") if isinstance(problem, dict) else None
            message = self._said(str(problem.get("message", problem) if isinstance(problem, dict) else problem))
            raise self._refusal(code if isinstance(code, int) and code >= 400 else 500, message, wait)
        try:
            choice = content["choices"][0]
            text = _text(choice["message"].get("content"))
            why = self._silence(choice, text)
            self.usage.add(content.get("usage"))
        except (LookupError, TypeError, AttributeError) as error:
            raise _PassingError("an answer that is no chat completion") from error
        if why is not None:
            raise NoAnswerError(f"{self.url} {why}")
        return text

    def _refusal(self, status: int, message: str, wait: float) -> Exception:
        """What to raise for an answer that is none."""
        said = f"{status} {message}".strip()
        if status in _PASSING or status >= 500:
            return _PassingError(said, wait)
        if status in _FATAL:
            return UserError(
                f"{self.url} refuses every request: {said}. "
                f"Check {self.group}.url, {self.group}.model and the environment variable {self.key}"
            )
        return NoAnswerError(f"{self.url} refuses the request: {said}")

    def _silence(self, choice: dict[str, Any], text: str) -> str | None:
        """Why there is no caption in an answer; None where there is one, or no reason is given."""
        message, ended = choice["message"], choice.get("finish_reason")
        if refusal := message.get("refusal"):
            return f"refuses to answer: {self._said(str(refusal))}"
        if ended == "content_filter":
            return "withholds its answer: its content filter stopped it (content_filter)"
        if ended == "length" and not text.strip():
            reasoned = message.get("reasoning_content") or message.get("reasoning")
            doing = "while the model reasoned" if reasoned else "before the model said anything"
            return f"stopped at its limit of tokens {doing}: raise that of {self.group}.generation"
        return None

    def _wait(self, attempt: int, problem: _PassingError) -> None:
        longest = min(self.backoff * 2 ** (attempt - 1), _LONGEST_WAIT)
        # Spread over half of it, so that requests that failed together do not come back together.
        seconds = max(random.uniform(longest / 2, longest), min(problem.wait, _LONGEST_WAIT))
        _log.warning("%s: %s; attempt %d of %d in %.1f s", self.url, problem, attempt + 1, self.attempts, seconds)
        time.sleep(seconds)

    def _said(self, message: str) -> str:
        """A server's message on one line, without the key, which some servers repeat."""
        line = " ".join(message.split())
        return (line.replace(self._secret, "***") if self._secret else line)[:300]


class _PassingError(Exception):
    """A request failed in a way that may pass; `wait` is how many seconds the server asks for."""

    def __init__(self, problem: str, wait: float = 0.0) -> None:
        super().__init__(problem)
        self.wait = wait

    def final(self, chat: Chat) -> Exception:
        """What to raise when it does not pass."""
        return NoAnswerError(f"{chat.url} gave no {chat.wanted} in {chat.attempts} attempts: {self}")


class _NoServerError(_PassingError):
    """No connection: no other request would fare better."""

    def final(self, chat: Chat) -> Exception:
        return UserError(f"no server at {chat.url} ({self}) in {chat.attempts} attempts: start it, then run this again")


def _secret(variable: str, group: str) -> str | None:
    """The key in an environment variable, without blanks around it; None if there is none. It is never shown.

    Raises:
        UserError: The variable's name is none, or its value cannot stand in the header of a request.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
        raise UserError(f"{group}.key is no name: give the name of the environment variable that holds the key")
    secret = os.environ.get(variable, "").strip()
    if not all("!" <= character <= "~" for character in secret):
        raise UserError(
            f"the environment variable {variable} holds no key: there is a blank, a line end or a character outside "
            "ASCII in it"
        )
    return secret or None


def _client(address: httpx.URL, key: str | None, timeout: float, connections: int) -> httpx.Client:
    # At INFO it logs a line a request.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        return httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=timeout,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            # No proxy leads to this machine.
            trust_env=not _is_loopback(address.host),
        )
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        why = re.sub(r"//[^/@]*@", "//***@", reason(error))
        raise UserError(
            f"no server can be reached through the proxy of the environment ({why}): change or unset "
            "ALL_PROXY, HTTPS_PROXY and HTTP_PROXY, or name the server in NO_PROXY"
        ) from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _error(content: Any) -> Any:
    """The error in the body of an answer, or in its first choice."""
    if not isinstance(content, dict):
        return None
    choices = content.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return content.get("error") or (first.get("error") if isinstance(first, dict) else None)


def _text(content: Any) -> str:
    """What a message says: text, or the parts of a list that are text (others hold what the model thought)."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    parts = [part if isinstance(part, str) else part["text"] for part in content if _says(part)]
    return "".join(part for part in parts if isinstance(part, str))


def _says(part: Any) -> bool:
    return isinstance(part, str) or part.get("type") in ("text", "output_text")


def text(words: str) -> dict[str, Any]:
    """A part of a message that is text."""
    return {"type": "text", "text": words}


def picture(frame: Pixels) -> dict[str, Any]:
    """A part of a message that is a picture."""
    content = io.BytesIO()
    Image.fromarray(frame).save(content, "JPEG", quality=_JPEG_QUALITY)
    encoded = base64.b64encode(content.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{encoded}"}}


def _seconds(header: str | None) -> float:
    """The seconds that a Retry-After header asks to wait; 0 for none or a date."""
    try:
        return max(float(header or 0), 0.0)
    except ValueError:
        return 0.0
