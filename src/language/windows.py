"""Windows of time in what a language model says."""

from __future__ import annotations

import re

_MOST = 20_000
"""Letters at the end of an answer that are looked at."""

_TIME = r"(?:\d{1,3}:)?\d{1,3}:\d{2}(?:\.\d{1,9})?|\d{1,9}(?:\.\d{1,9})?"
_UNIT = r"(?:\s{0,2}(?:seconds?|secs?|s)\b)?"
_BETWEEN = r"""["')\]\s]{0,4}(?:-|–|—|−|~|,|;|\.{2,3}|\bto\b|\band\b|\buntil\b|\btill?\b|\bthrough\b)["'(\[\s]{0,4}"""
_NAMED = r"""(?:(?:and\s)?(?:it\s)?\bends?\w{0,5}["'\s]{0,3}(?:[:=]|at)?["'\s]{0,3})?"""
_WINDOW = re.compile(rf"(?<![\d.:])({_TIME}){_UNIT}{_BETWEEN}{_NAMED}({_TIME})(?![\d:])", re.IGNORECASE)
_ANY = re.compile(rf"(?<![\d.:])(?:{_TIME})(?![\d:])")


def windows_in(text: str, duration: float) -> list[tuple[float, float]]:
    """The windows that an answer names, in its order; none where it names no window of a video of `duration` seconds.

    A window is two times with a dash, a comma or a word between them (12 - 30.5, [12, 30.5], 00:12 to 00:30, "start":
    12, "end": 30); without such, an answer with two times and no more names the window between them. Windows are turned
    round where they are reversed, and cut off at the video's ends.

    >>> windows_in("It happens from 0:12 to 0:30.5.", 60.0)
    [(12.0, 30.5)]
    """
    shown = text[-_MOST:]
    found = [(seconds(start), seconds(end)) for start, end in _WINDOW.findall(shown)]
    times = _ANY.findall(shown)
    if not found and len(times) == 2:
        found = [(seconds(times[0]), seconds(times[1]))]
    inside = [(min(min(pair), duration), min(max(pair), duration)) for pair in found]
    return list(dict.fromkeys((start, end) for start, end in inside if start < end))


def seconds(time: str) -> float:
    """A time as 75.5, 1:15.5 or 0:01:15.5 in seconds."""
    total = 0.0
    for part in time.split(":"):
        total = 60 * total + float(part)
    return total
