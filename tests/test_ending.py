"""A process that is asked to end does so, whatever it is doing and whatever keeps it from saying so."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

WAITING = """
import hashlib
from src import ending

ending.PATIENCE = 0.3

def give_up(why):
    {give_up}

with ending.bounded(lambda: None, give_up):
    ending.hold_off()  # the signal may come before the call below: it is not to end the process there
    print("waiting", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # as long as it takes, in C
"""


@pytest.mark.parametrize("give_up", ["return 'it was asked to'", "raise FileNotFoundError('the folder is gone')"])
def test_a_process_that_does_not_end_by_itself_is_ended(give_up: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING.format(give_up=give_up)],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert ("error: it was asked to" in said) == give_up.startswith("return")
