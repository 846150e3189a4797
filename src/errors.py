"""The errors a user can cause."""

from __future__ import annotations

import re


class OneLineError(Exception):
    """An error whose message is one line that can be shown and written anywhere, whatever stands in names of files."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class UserError(OneLineError):
    """Bad input. The message is one line: what is wrong, where, and what to do about it."""


class NoRoomError(UserError):
    """A disk is full: what was begun goes on once there is room."""


def reason(error: BaseException) -> str:
    """The first line of what an exception says, or its kind where it says nothing."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    # PyTorch's and numpy's own words advise to load the file all the same.
    if "weights_only" in said or "allow_pickle" in said:
        return "it holds pickled objects, which could run code"
    return printable(said)


def printable(text: str) -> str:
    """A text without line ends, and with the bytes of a name that are no UTF-8 written out (`\\xe9`)."""
    text = re.sub("[\udc80-\udcff]", lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", text)
    return " ".join(text.encode("utf-8", "backslashreplace").decode("utf-8").splitlines())
