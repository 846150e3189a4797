"""The errors a user can cause."""

from __future__ import annotations


class UserError(Exception):
    """Bad input. The message is one line: what is wrong, where, and what to do about it."""


def reason(error: BaseException) -> str:
    """The first line of what an exception says, or its kind where it says nothing."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    # PyTorch's and numpy's own words advise to load the file all the same.
    return (
        "it holds pickled objects, which could run code" if "weights_only" in said or "allow_pickle" in said else said
    )
