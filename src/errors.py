"""The errors a user can cause."""

from __future__ import annotations


class UserError(Exception):
    """Bad input. The message is one line: what is wrong, where, and what to do about it."""


def reason(error: BaseException) -> str:
    """The first line of what an exception says, or its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
