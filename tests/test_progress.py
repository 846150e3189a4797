"""What long work says of itself where nobody watches a terminal, and where somebody does."""

from __future__ import annotations

import contextlib
import logging
import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from src import progress
from src.progress import Progress, left, show

PROJECT = Path(__file__).parents[1]
UNTIL = r"\d+:\d\d left, until (\d{4}-\d\d-\d\d )?\d\d:\d\d"


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """The log of work whose every step takes a minute."""
    monkeypatch.setattr(progress, "MINUTE", 0.0)
    caplog.set_level(logging.INFO)
    return caplog


def test_a_line_says_what_is_done_what_is_left_and_the_end(said: pytest.LogCaptureFixture) -> None:
    assert list(Progress(range(4), "answering", "query")) == [0, 1, 2, 3]
    begun, *lines, ended = said.messages
    assert begun == "answering: 0 of 4 queries, end unknown"
    assert re.fullmatch(rf"answering: 1 of 4 queries, {UNTIL}", lines[0])
    assert re.fullmatch(r"answering: 4 of 4 queries, took 00:00", ended)


def test_what_has_no_known_number_is_counted(said: pytest.LogCaptureFixture) -> None:
    with Progress(None, "checking", "video") as work:
        work.set_postfix_str("12 captions", refresh=False)
        work.update(3)
    assert said.messages[-1] == "checking: 3 videos, 00:00 so far, 12 captions"
    with Progress(None, "glove", "B", 5_000_000_000) as work:
        work.update(2_500_000_000)
    assert re.match(rf"glove: 2.50GB of 5.00GB, {UNTIL}", said.messages[-1])


def test_short_work_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    list(Progress(range(1000), "quick", "text"))
    assert not caplog.messages


def test_what_is_left_follows_from_what_was_done() -> None:
    assert left(0.25, 60).startswith("03:00 left, until ")
    assert re.match(r"75:00:00 left, until \d{4}-\d\d-\d\d \d\d:\d\d", left(0.25, 90_000))


def test_at_a_terminal_a_bar_is_drawn_and_the_log_is_left_alone() -> None:
    code = """
import logging, sys
from src import progress
logging.basicConfig(level="INFO", stream=sys.stdout)
progress.MINUTE = progress._DELAY = 0.0
list(progress.Progress(range(3), "narrating", "video"))
"""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE, stderr=theirs, check=True)
    os.close(theirs)
    drawn = b""
    with contextlib.suppress(OSError):  # at its end
        while part := os.read(ours, 10_000):
            drawn += part
    assert b"narrating: 100%" in drawn
    assert not done.stdout


def test_a_result_is_printed_and_kept(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    show("split  mIoU\ntest   41.23")
    assert capsys.readouterr().out == "split  mIoU\ntest   41.23\n"
    assert caplog.messages == ["\nsplit  mIoU\ntest   41.23"]
