"""Tables of text."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from src.tables import pipes, plain


def test_plain_columns_are_aligned_and_two_spaces_apart() -> None:
    lines = [["split", "queries", "example"], ["all", "12", "She eats."], ["train", "9,000", "He"]]
    assert plain(lines, left=(0, 2)).splitlines() == [
        "split  queries  example",
        "all         12  She eats.",
        "train    9,000  He",
    ]


def test_columns_of_numbers_have_a_least_width() -> None:
    """Seven characters and the gap hold 100.00 under the shortest name of a metric."""
    lines = [["split", "R1@0.5", "mIoU", "novel:R1@0.5"], ["test_iid", "12.35", "", "1.00"]]
    assert plain(lines, least=7).splitlines() == [
        "split      R1@0.5     mIoU  novel:R1@0.5",
        "test_iid    12.35                   1.00",
    ]


def test_no_line_ends_in_spaces() -> None:
    assert plain([["split", "mIoU"], ["test", ""]]).splitlines() == ["split  mIoU", "test"]


def test_pipes_are_aligned_markdown() -> None:
    assert pipes([["split", "", "mIoU"], ["test_iid", "TEA", "**55.9 ± 0.2**"]]).splitlines() == [
        "| split    |     | mIoU           |",
        "|----------|-----|----------------|",
        "| test_iid | TEA | **55.9 ± 0.2** |",
    ]


@pytest.mark.parametrize("printed", [plain, pipes])
def test_a_line_of_another_length_is_an_error(printed: Callable[[list[list[str]]], str]) -> None:
    with pytest.raises(ValueError, match="zip"):
        printed([["split", "mIoU"], ["test"]])
