"""Windows in what a model says: found in the ways that models put them, and never a crash."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.language.windows import windows_in


@pytest.mark.parametrize(
    ("answer", "windows"),
    [
        ("12.0 - 30.5", [(12.0, 30.5)]),
        ("The moment is from 12 to 30.5 seconds.", [(12.0, 30.5)]),
        ("[12, 30.5]", [(12.0, 30.5)]),
        ('{"start": 12, "end": 30.5}', [(12.0, 30.5)]),
        ('```json\n{"start_time": 12.0,\n "end_time": 30.5}\n```', [(12.0, 30.5)]),
        ("00:12 – 00:30.5", [(12.0, 30.5)]),
        ("It begins at 0:12 and ends at 0:30.5.", [(12.0, 30.5)]),
        ("Start: 12s\nEnd: 30.5s", [(12.0, 30.5)]),
        ("The event starts at 12 seconds and ends at 30.5 seconds", [(12.0, 30.5)]),
        ("30.5 - 12.0", [(12.0, 30.5)]),
        ("0:00:12 to 0:01:00", [(12.0, 60.0)]),
        ("50 to 90 s", [(50.0, 60.0)]),
        ("[[2, 4], [12, 30.5], [2, 4]]", [(2.0, 4.0), (12.0, 30.5)]),
        ("I cannot tell.", []),
        ("At 12 seconds.", []),
        ("70 - 90", []),
        ("12 - 12", []),
        ("", []),
    ],
)
def test_windows_of_a_video_of_a_minute(answer: str, windows: list[tuple[float, float]]) -> None:
    assert windows_in(answer, 60.0) == windows


@given(st.text() | st.from_regex(r"[-0-9:., to\[\]\"sendart]{0,200}", fullmatch=True), st.floats(0.1, 1e6))
def test_any_answer_gives_windows_inside_the_video_or_none(answer: str, duration: float) -> None:
    for start, end in windows_in(answer, duration):
        assert 0 <= start < end <= duration


@pytest.mark.parametrize("part", ["1", "1:", "1.", "12 - ", " ", "9" * 50, "end", "1:1:1:", "\n"])
def test_an_endless_answer_takes_no_time(part: str) -> None:
    windows_in(part * 100_000, 60.0)
