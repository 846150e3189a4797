"""Tables of text: aligned columns for a terminal, and pipe tables of Markdown, which read as well as they stand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

Lines = Sequence[Sequence[str]]
"""Cells by line and column, the header first; every line has as many."""


def plain(lines: Lines, left: Collection[int] = (0,), least: int = 0) -> str:
    """Columns two spaces apart, without a rule.

    >>> print(plain([["split", "R1@0.5", "mIoU"], ["test_iid", "61.20", "55.93"]]))
    split     R1@0.5   mIoU
    test_iid   61.20  55.93

    Args:
        lines: The cells of the table, the header's first.
        left: The columns aligned at their left, counted from 0; all others are numbers, aligned at their right.
        least: The characters that a column of numbers is at least wide.
    """
    columns = [
        _padded(column, str.ljust) if number in left else _padded(column, str.rjust, least)
        for number, column in enumerate(zip(*lines, strict=True))
    ]
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def pipes(lines: Lines) -> str:
    """A Markdown table.

    >>> print(pipes([["split", "mIoU"], ["test_iid", "**55.9**"]]))
    | split    | mIoU     |
    |----------|----------|
    | test_iid | **55.9** |

    Args:
        lines: The cells of the table, the header's first.
    """
    columns = [_padded(column, str.ljust) for column in zip(*lines, strict=True)]
    rule = "|".join(["", *("-" * (len(column[0]) + 2) for column in columns), ""])
    head, *body = ("| " + " | ".join(line) + " |" for line in zip(*columns, strict=True))
    return "\n".join([head, rule, *body])


def _padded(cells: Sequence[str], justify: Callable[[str, int], str], least: int = 0) -> list[str]:
    width = max(least, *map(len, cells))
    return [justify(cell, width) for cell in cells]
