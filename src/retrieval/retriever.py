"""From a trained network to moments in any video, annotated or not."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from src.build import Parts, compose
from src.data.batch import Inputs, Sample, collate_inputs
from src.data.narratives import read_narratives
from src.data.records import Narratives
from src.data.store import Store
from src.errors import UserError
from src.features.computed import FromVideos
from src.moments import RankedMoments, align_narratives, pool
from src.narrators.build import build_narrator
from src.narrators.narrator import Failure, Narrator, Reading
from src.places import CONF
from src.retrieval.kept import kept_features, kept_narratives
from src.runs.checkpoints import best_checkpoint, load_network, read_checkpoint
from src.runs.configuration import COMPOSED, moved_here
from src.runs.trust import conf_folders
from src.settings import require_valid
from src.videos.collection import Item
from src.videos.frames import duration_of

_READING = ("default", "narrating")
"""The choices of conf/frames that a narrator's are made of."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncodedVideo:
    """A video as the network sees it: made once, asked any number of times. L snippets.

    Attributes:
        video: Its id.
        duration: Its length in seconds.
        length: L.
        features: (L, D_v); None where the network reads no video.
        narrative: (L, D_t), the vectors of its narratives on its snippets; None where the network reads none.
        told: The narratives themselves, with their times in seconds.
    """

    video: str
    duration: float
    length: int
    features: Tensor | None
    narrative: Tensor | None
    told: Narratives | None


class Told(NamedTuple):
    """A narrative, and the time in seconds that it is of."""

    time: float
    text: str


@dataclass(frozen=True)
class FoundMoment:
    """A moment: start and end in seconds, its score (comparable within a sentence), and the narratives inside it."""

    start: float
    end: float
    score: float
    narratives: tuple[Told, ...]


@dataclass(frozen=True)
class Answer:
    """What was found for a sentence: moments, best first, and a score for each snippet where the network has one."""

    sentence: str
    moments: tuple[FoundMoment, ...]
    saliency: tuple[float, ...] | None


class Retriever:
    """A trained network with all that it needs to look at a video and a sentence.

        retriever = Retriever.load("outputs/train/playroom/2026-11-26_10-00-00")
        video = retriever.encode("holiday.mp4")
        for moment in retriever.retrieve(video, ["a person opens the door"])[0].moments:
            print(moment.start, moment.end, moment.score)

    Args:
        parts: Of the configuration that the network was trained with, whose network has its weights.
        device: Where it runs.
    """

    def __init__(self, parts: Parts, device: str | torch.device = "cpu") -> None:
        self.parts = parts
        self.device = torch.device(device)
        self.network = parts.network.eval().to(self.device)

    @classmethod
    def load(
        cls,
        place: str | Path,
        cfg: DictConfig | None = None,
        overrides: Sequence[str] = (),
        device: str | torch.device = "cpu",
        conf: Sequence[str | Path] = (),
    ) -> Retriever:
        """Load the best network of a run folder, that of a checkpoint, or one that comes with this project.

        No code runs that the file chooses.

        Args:
            place: The run folder or checkpoint; or the name of a model that comes with this project, such as segments.
            cfg: A composed conf/evaluate.yaml, which says where things lie here; None: composed with `overrides`.
            overrides: Settings as on the command line, such as paths.data=/elsewhere.
            device: Where the network runs: cpu, cuda …
            conf: Config folders of your own, as `--config-dir` names them, whose parts a checkpoint may name too.

        Raises:
            UserError: the file is missing, damaged or not to be trusted, or an override cannot apply to it.
        """
        path, own = best_checkpoint(Path(place)), [Path(folder).resolve() for folder in conf]
        checkpoint = read_checkpoint(path)
        if notice := checkpoint.get("notice"):
            _log.info("%s: %s", path.name, notice)
        if cfg is None:
            cfg = compose("evaluate", *overrides, conf=own)
        composed = checkpoint["configuration"][COMPOSED]
        parts = Parts(moved_here(composed, path, cfg, overrides, [*conf_folders(), *own]))
        require_valid(OmegaConf.to_container(parts.cfg, resolve=True), f"{path}: ")
        parts.network = load_network(parts.new_network, checkpoint, path)
        return cls(parts, device)

    def encode(
        self, video: str | Path, duration: float | None = None, narrator: Sequence[str] | None = None
    ) -> EncodedVideo:
        """Look at a video, and read or write its narratives.

        Args:
            video: A video file, whose features are computed and which is narrated, once: both are kept among the
                stores; or the id of a video that the stores have.
            duration: The video's length in seconds; None for a file's own.
            narrator: Who narrates a file, as on the command line of src.narrate: ["narrator=llava_7b"]; None for the
                narrator of the network's configuration.

        Raises:
            UserError: the file cannot be read, its features cannot be computed here, or the stores lack the video.
        """
        path = Path(video)
        if path.is_file():
            told = self._narrated(path, narrator) if self.parts.uses_narratives else None
            return self._of_file(path, duration, told)
        if duration is None:
            raise UserError(
                f"no video file {video}; of a video in the stores, say how many seconds it lasts: duration=…"
            )
        return self._of_stores(str(video), duration)

    def encode_told(self, told: Narratives, of: float | Path) -> EncodedVideo:
        """Look at a video whose narratives are known.

        Args:
            told: Its narratives.
            of: The video file, of which the features are computed where the network reads any; or, where there is
                none, the video's length in seconds.

        Raises:
            UserError: the file cannot be read, or its features cannot be computed here.
        """
        if isinstance(of, Path):
            return self._of_file(of, None, told)
        return self._encoded(told.video, of, None, told)

    @torch.inference_mode()
    def retrieve(self, encoded: EncodedVideo, sentences: Sequence[str], top: int = 5) -> list[Answer]:
        """Find each sentence's moments in a video.

        Args:
            encoded: What `encode` gave.
            sentences: Queries, none empty.
            top: Moments for each, at most.
        """
        if not sentences or not all(sentence.strip() for sentence in sentences):
            raise UserError("give at least one sentence, and none that is empty")
        answers = []
        size = self.parts.cfg.loader.eval_batch_size
        for start in range(0, len(sentences), size):
            some = sentences[start : start + size]
            ranked = self.network.rank(self._inputs(encoded, some), top)
            answers += [_answer(ranked, row, sentence, encoded) for row, sentence in enumerate(some)]
        return answers

    def _inputs(self, encoded: EncodedVideo, sentences: Sequence[str]) -> Inputs:
        samples = [
            Sample(
                sentence=sentence,
                duration=encoded.duration,
                video=encoded.features,
                narrative=encoded.narrative,
                length=encoded.length,
                query=_as_stored(words.features),
                unknown=torch.from_numpy(words.unknown),
            )
            for sentence, words in zip(sentences, self.parts.encoder.words(list(sentences)), strict=True)
        ]
        return collate_inputs(samples).to(self.device).full()

    def _of_file(self, path: Path, duration: float | None, told: Narratives | None) -> EncodedVideo:
        seconds = duration if duration is not None else duration_of(path)
        features = None
        if self.parts.uses_video:
            layout, settings = self.parts.layout, self.parts.cfg.features
            if not isinstance(layout, FromVideos):
                raise UserError(
                    f"{path}: features={settings.name} are not computed from files: put the published ones into a "
                    "store and give the video's id, or train with features that are (features=pixels, features=hf)"
                )
            every = kept_features(self.parts.places.encoded, path, layout.identity, lambda: layout.of_file(path))
            features = pool(torch.from_numpy(every), settings.max_snippets, settings.pooling).half()
        return self._encoded(path.stem, seconds, features, told)

    def _encoded(self, video: str, seconds: float, features: Tensor | None, told: Narratives | None) -> EncodedVideo:
        length = len(features) if features is not None else self.parts.snippets.count(seconds)
        narrative = None
        if told is not None and self.parts.uses_narratives:
            vectors = _as_stored(np.stack(list(self.parts.encoder.sentences(list(told.texts)))))
            narrative = self._aligned(torch.tensor(told.times, dtype=torch.float64), vectors, length, seconds)
        return EncodedVideo(video, seconds, length, features, narrative, told)

    def _of_stores(self, video: str, seconds: float) -> EncodedVideo:
        store, parts = self.parts.video_store(), self.parts
        features = None if store is None else store[video]["features"]
        told, narrative = None, None
        length = len(features) if features is not None else parts.snippets.count(seconds)
        if parts.uses_narratives:
            rows = self._narrative_store[video]
            narrative = self._aligned(rows["times"], rows["features"].float(), length, seconds)
            told = self._told(video)
        return EncodedVideo(video, seconds, length, features, narrative, told)

    def _aligned(self, times: Tensor, vectors: Tensor, length: int, seconds: float) -> Tensor:
        return align_narratives(times, vectors, length, seconds, self.parts.snippets.fill)

    @cached_property
    def _narrative_store(self) -> Store:
        return Store(self.parts.places.narrative_store, ("times",))

    def _told(self, video: str) -> Narratives | None:
        """What the narratives file says of a video; None where only its vectors are here."""
        file = self.parts.places.narratives
        every = read_narratives(file) if file.is_file() else ()
        return next((narratives for narratives in every if narratives.video == video), None)

    @cached_property
    def _narrator(self) -> Narrator:
        narrator = self.parts.cfg.narrator
        if any(OmegaConf.is_missing(narrator, key) for key in ("url", "model") if key in narrator):
            raise UserError(
                f"no checkpoint chooses a server or a model to narrate with: say which of yours, such as narrator=hf "
                f"narrator.name={narrator.name} narrator.model=…, or narrate the video first"
            )
        return build_narrator(self.parts.cfg.narrator)

    def _narrated(self, path: Path, chosen: Sequence[str] | None) -> Narratives:
        narrator = self._narrator if chosen is None else build_narrator(compose("narrate", *chosen).narrator)
        # As src.narrate reads video files, unless it is told otherwise.
        settings: Any = OmegaConf.merge(*(OmegaConf.load(CONF / "frames" / f"{name}.yaml") for name in _READING))
        del settings["defaults"]
        reading = Reading(**settings)

        def narrate() -> Narratives:
            (outcome,) = narrator.outcomes([Item(path.stem, path)], reading)
            if isinstance(outcome, Failure):
                raise UserError(f"{path} cannot be narrated: {outcome.reason}")
            return outcome

        return kept_narratives(self.parts.places.encoded, path, narrator.writer(reading), narrate)


def _as_stored(vectors: NDArray[np.float32]) -> Tensor:
    """Vectors as a store would give them back, so that a sentence means the same in training and here."""
    return torch.from_numpy(vectors.astype(np.float16)).float()


def _answer(ranked: RankedMoments, row: int, sentence: str, encoded: EncodedVideo) -> Answer:
    told = (
        []
        if encoded.told is None
        else [Told(*each) for each in zip(encoded.told.times, encoded.told.texts, strict=True)]
    )
    count = int(ranked.counts[row])
    moments = tuple(
        FoundMoment(start, end, score, tuple(each for each in told if start <= each.time <= end))
        for (start, end), score in zip(
            ranked.windows[row, :count].tolist(), ranked.scores[row, :count].tolist(), strict=True
        )
    )
    saliency = None if ranked.saliency is None else tuple(ranked.saliency[row, : encoded.length].tolist())
    return Answer(sentence, moments, saliency)
