"""Baselines that ask a language model for the window of each query ("Captioner + LLM" and "Video-adaptor + LLM")."""

from __future__ import annotations

import hashlib
import logging
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import ClassVar

from src.baselines.baseline import Question, Reads
from src.data.records import Narratives
from src.errors import UserError
from src.growing import Journal
from src.language.model import LanguageModel, NoAnswerError, Prompt, filled
from src.language.windows import windows_in
from src.progress import Progress
from src.runs.predictions import Prediction
from src.videos.collection import collect
from src.videos.frames import Backend, read_frames

_log = logging.getLogger(__name__)

_MISS = ((0.0, 0.0, 0.0),)
"""The answer to a query for which the model named no window: one without length, which hits nothing."""

_DIGITS = 32
"""Of the digest under which an answer is kept."""


class Asked(ABC):
    """Asks a model about each query, keeps what it said, and reads windows out of it.

    An answer is kept under a digest of all that the model was given, so that a run that was broken off goes on, and
    with another prompt or other narratives it is asked anew.

    Args:
        name: The baseline's name, as its config has it.
        model: Who is asked.
        prompt: The question, in which {query}, {duration} (seconds) and {narratives} are filled in.
        answers: The file of answers, JSON Lines.
        retry_failed: Whether the model is asked again where it had no answer before.
    """

    reads: ClassVar[Reads] = "moments"

    def __init__(self, name: str, model: LanguageModel, prompt: str, answers: str, retry_failed: bool) -> None:
        self.name = name
        self.model = model
        self.prompt = prompt
        self.answers = Path(answers)
        self.retry_failed = retry_failed

    def fit(self, questions: Sequence[Question]) -> None:
        """There is nothing to take."""
        return

    @abstractmethod
    def given(self, question: Question) -> str:
        """In words all that decides the prompt of a question."""

    @abstractmethod
    def prompt_of(self, question: Question) -> Prompt:
        """What the model is asked.

        Raises:
            NoAnswerError: It cannot be asked this.
        """

    def predict(self, questions: Sequence[Question], top: int) -> list[Prediction]:
        keys = [hashlib.sha256(self.given(question).encode()).hexdigest()[:_DIGITS] for question in questions]
        writer = {"baseline": self.name, **self.model.identity}
        with Journal(self.answers, "asked", writer, self.retry_failed) as journal:
            known = journal.done.keys() | journal.failed.keys()
            # Queries that are alike are asked about once.
            todo = {key: question for key, question in zip(keys, questions, strict=True) if key not in known}
            self._ask(todo, journal)
            said = {key: str(record.get("answer", "")) for key, record in journal.done.items()}
            reasons = [journal.failed[key] for key in keys if key not in said]
        answers = [said.get(key, "") for key in keys]
        found = [
            windows_in(answer, question.moment.duration) for answer, question in zip(answers, questions, strict=True)
        ]
        self._tell("have no answer", reasons, len(questions))
        silent = [said[key] for key, windows in zip(keys, found, strict=True) if key in said and not windows]
        self._tell("have an answer that is no window", silent, len(questions))
        return [
            Prediction(question.moment.query_id, _ranked(windows[:top]))
            for question, windows in zip(questions, found, strict=True)
        ]

    def words(self, question: Question, narratives: str = "") -> str:
        """The prompt's text."""
        moment = question.moment
        return filled(self.prompt, duration=f"{moment.duration:g}", narratives=narratives, query=moment.query)

    def _ask(self, todo: Mapping[str, Question], journal: Journal) -> None:
        if not todo:
            return
        start, asked = time.monotonic(), deque[str]()

        def prompts() -> Iterator[Prompt]:
            for key, question in Progress(todo.items(), f"asking {self.name}", "query", len(todo)):
                try:
                    prompt = self.prompt_of(question)
                except NoAnswerError as error:
                    journal.fail(key, str(error))
                    continue
                asked.append(key)
                yield prompt

        for answer in self.model.answers(prompts()):
            key = asked.popleft()
            if isinstance(answer, NoAnswerError):
                journal.fail(key, str(answer))
            else:
                moment = todo[key].moment
                journal.append(key, video=moment.video, query=moment.query, answer=answer)
        _log.info("%s: %s in %.0f s", self.name, self.model.usage, time.monotonic() - start)

    def _tell(self, what: str, examples: Sequence[str], count: int) -> None:
        if examples:
            such = " ".join(examples[0].split())[:120]
            _log.warning("%d of %d queries %s and count as missed, such as: %s", len(examples), count, what, such)


class NarrativesAsked(Asked):
    """Gives a language model the paragraph of a video, each narrative with its time, and the query.

    Args:
        most: The narratives told, evenly chosen where a video has more.
    """

    reads: ClassVar[Reads] = "narratives"

    def __init__(
        self, name: str, model: LanguageModel, prompt: str, answers: str, retry_failed: bool, most: int
    ) -> None:
        super().__init__(name, model, prompt, answers, retry_failed)
        self.most = most

    def given(self, question: Question) -> str:
        return self.prompt_of(question).text

    def prompt_of(self, question: Question) -> Prompt:
        assert question.told is not None
        return Prompt(self.words(question, paragraph(question.told, self.most)))


class VideoAsked(Asked):
    """Shows a video-language model frames of a video, each after its time, and the query.

    Args:
        videos: Where the video files are: a folder, a file, or a list.
        frames: The frames shown, evenly spaced: the budget.
        reader: The library that decodes.
        longest: The most pixels of a frame's longer side.
    """

    def __init__(
        self,
        name: str,
        model: LanguageModel,
        prompt: str,
        answers: str,
        retry_failed: bool,
        videos: str,
        frames: int,
        reader: Backend,
        longest: int,
    ) -> None:
        super().__init__(name, model, prompt, answers, retry_failed)
        self.videos = Path(videos)
        self.frames = frames
        self.reader = reader
        self.longest = longest

    def given(self, question: Question) -> str:
        return f"{question.moment.video}, {self.frames} frames of {self.longest} pixels: {self.words(question)}"

    def prompt_of(self, question: Question) -> Prompt:
        moment = question.moment
        path = self._files.get(moment.video)
        if path is None:
            raise NoAnswerError(f"no file of {moment.video} among {self.videos}")
        interval = moment.duration / self.frames
        try:
            shown = list(islice(read_frames(path, interval, self.reader, self.longest), self.frames))
        except UserError as error:
            raise NoAnswerError(str(error)) from error
        return Prompt(self.words(question), tuple((f"{frame.time:.1f} s:", frame.pixels) for frame in shown))

    @cached_property
    def _files(self) -> dict[str, Path]:
        return {item.video: item.path for item in collect(self.videos, None) if item.path is not None}


def paragraph(told: Narratives, most: int) -> str:
    """A line for each of at most `most` narratives, with its time in seconds."""
    count = len(told.texts)
    shown = min(most, count)
    chosen = (round(n * (count - 1) / max(shown - 1, 1)) for n in range(shown))
    return "\n".join(f"{told.times[n]:.1f} s: {told.texts[n]}" for n in chosen)


def _ranked(windows: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float, float]]:
    """Windows in the order in which they were named, with scores that say so."""
    return [(start, end, -float(rank)) for rank, (start, end) in enumerate(windows)] or _MISS
