"""What a model says, out of all that it writes: no reasoning, no markers, no invisible characters."""

from __future__ import annotations

import re

from src.language.model import NoAnswerError

# How models mark what they think before they answer.
_TAGS = r"(?:seed:)?(?:think|thinking|thought|thoughts|reasoning|reflection|analysis|scratchpad)"
_BEGINS = rf"<{_TAGS}>|◁think▷|\[THINK\]|<\|START_THINKING\|>|<\|channel\|?>(?:analysis|thought|commentary)\b"
_ENDS = rf"</{_TAGS}>|◁/think▷|\[/THINK\]|<\|END_THINKING\|>|<channel\|>|<\|channel\|>final<\|message\|>"
_BEGIN = re.compile(_BEGINS, re.IGNORECASE)
_END = re.compile(_ENDS, re.IGNORECASE)
# How they mark the answer that follows.
_ANSWER = re.compile(r"<answer>(.*?)(?:</answer>|$)", re.IGNORECASE | re.DOTALL)
_BOXES = re.compile(r"</?answer>|<\|(?:begin|end)_of_box\|>", re.IGNORECASE)
_UNSEEN = "\u200b\u2060\ufeff"  # of no width, and no part of any word


def has_reasoning(text: str) -> bool:
    """Whether some of a text is marked as reasoning."""
    return bool(_BEGIN.search(text) or _END.search(text))


def spoken(text: str) -> str:
    """The answer in what a model wrote, on one line; empty where it says nothing.

    Raises:
        NoAnswerError: The answer ends before the reasoning does.
    """
    # A chat template may hold the mark where the reasoning begins: what comes before its end is none of the answer.
    answer = _END.split(text)[-1]
    said, *thought = _BEGIN.split(answer, maxsplit=1)
    if thought and not said.strip():
        raise NoAnswerError(
            "the answer ends before the model's reasoning does: allow it more tokens (generation), or let it "
            "reason less"
        )
    marked = _ANSWER.findall(said)
    line = " ".join(_BOXES.sub(" ", marked[-1] if marked else said).split()).strip(_UNSEEN + " ")
    # Half of a character, where a server cut one in two, is none.
    line = line.encode("utf-8", "replace").decode("utf-8")
    return line if any(character.isalnum() for character in line) else ""
