"""MESM: Modal-Enhanced Semantic Modeling for Video Moment Retrieval (Liu et al., AAAI 2024).

Clips read the words twice, the second time with a sentence that clips make themselves; and the words are to be known
again from the clips of their moment.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.data.batch import GroundTruth, Inputs
from src.models.detr.anchor_detr import TokenDETR
from src.models.detr.anchors import AnchorDecoder
from src.models.detr.assignment import to_bounds
from src.models.detr.detr import DETRSettings, Prediction, Target, Weights
from src.models.detr.labels import next_other
from src.models.detr.layers import TextToVideoLayer, initialise, mean_of, prepend
from src.models.dropout import Dropout
from src.models.position import clip_code
from src.models.predictor import Streams
from src.moments import generalised_iou

TEMPERATURE = 0.5
ALIKE = 0.9
"""Windows of one video with at least so large a generalised IoU have one meaning."""
SMOOTHING = 0.1
"""The share of a word's label that is spread over all classes."""


@dataclass
class MESMWeights(Weights):
    """`words`: of words known again from clips; `sentences`: of moments and their queries."""

    words: float = 0.5
    sentences: float = 0.1


@dataclass(frozen=True, kw_only=True)
class MESMSettings(DETRSettings):
    """The settings of MESM.

    Attributes:
        decoder_layers: Of the decoder; `layers` are of the encoder and of either reading of the words.
        sentence_layers: Of the sentence that clips make.
        classes: Of words.
    """

    decoder_layers: int
    sentence_layers: int
    classes: int
    weights: MESMWeights

    def build(self) -> MESM:
        return MESM(self)


@dataclass
class MESMPrediction(Prediction):
    """With what the network saw, and the sentence (B, d) that it made of each video."""

    streams: Streams = None  # type: ignore[assignment]
    sentence: Tensor = None  # type: ignore[assignment]


@dataclass
class WordTarget:
    """Words to be known again: their classes (B, Q), −1 where not asked for, and which are hidden, (B, Q) bool."""

    classes: Tensor
    hidden: Tensor


class MESM(TokenDETR):
    """QD-DETR with a second reading of the words, a sentence among them, and a global token that nobody reads."""

    settings: MESMSettings
    weights: MESMWeights

    def __init__(self, settings: MESMSettings) -> None:
        sizes = (*settings.sizes, nn.PReLU, settings.dropout)
        decoder = AnchorDecoder(*settings.sizes, settings.decoder_layers, nn.PReLU, settings.dropout)
        super().__init__(settings, decoder)
        hidden, layers = settings.hidden, settings.layers
        self.enhance = nn.ModuleList(TextToVideoLayer(*sizes) for _ in range(layers))
        self.text_to_video = nn.ModuleList(TextToVideoLayer(*sizes) for _ in range(layers))
        self.sentence = nn.ModuleList(TextToVideoLayer(*sizes) for _ in range(settings.sentence_layers))
        initialise(self.enhance, self.text_to_video, self.encoder, self.decoder)
        self.sentence_query = nn.Parameter(torch.zeros(hidden))
        self.global_token = nn.Parameter(torch.randn(hidden))
        self.hidden_word = nn.Parameter(torch.zeros(hidden))
        self.word = nn.Sequential(
            nn.LayerNorm(hidden),
            Dropout(settings.input_dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, settings.classes),
        )

    def forward(self, streams: Streams) -> MESMPrediction:
        mask = streams.video_mask
        sentence = self._sentence(streams.video, mask)
        whole, memory = self._read(streams, streams.query, streams.query_mask, sentence)
        logits, spans = self.moments(memory, clip_code(mask, self.hidden), mask)
        return MESMPrediction(logits, spans, self.agreement(whole, memory), None, streams, sentence)

    def _sentence(self, video: Tensor, mask: Tensor) -> Tensor:
        """The sentence (B, d), of length one, of clips (B, L, d), of which mask (B, L) is valid.

        Released, a query's is made of the clips of all queries of its source video, and so depends on which there are.
        """
        x = self.sentence_query.expand(len(video), 1, -1)
        for layer in self.sentence:
            x = layer(x, torch.zeros_like(x), video, mask)
        return F.normalize(x[:, 0], dim=-1)

    def _read(self, streams: Streams, words: Tensor, words_mask: Tensor, sentence: Tensor) -> tuple[Tensor, Tensor]:
        """The global memory (B, d) and the clip memory (B, L, d) of the videos, with words and sentence."""
        clips, mask = streams.video, streams.video_mask
        position = clip_code(mask, self.hidden)
        for layer in self.enhance:
            clips = layer(clips, position, words, words_mask)
        words, words_mask = prepend(sentence, words), F.pad(words_mask, (1, 0), value=True)
        for layer in self.text_to_video:
            clips = layer(clips, position, words, words_mask)
        return self.encode(self.global_token, clips, position, mask, token_is_read=False)

    def losses(self, output: Prediction, inputs: Inputs, truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        assert isinstance(output, MESMPrediction)
        target = self.target(inputs, truth, queries=output.spans.shape[2])
        if len(inputs) > 1:
            output.negative = self.beside(output, next_other(target.sources)[0])
        words = word_target(inputs.sentences, inputs.query_mask, self.settings.classes)
        return {
            **self.terms(output, inputs, target),
            "words": self.weights.words * self.words_loss(output, self.hide(output, words), words.classes, target),
        }

    def beside(self, output: MESMPrediction, other: Tensor) -> Tensor:
        """The saliency (B, L) of the videos with the words and the sentence of other samples (B,)."""
        streams = output.streams
        return self.agreement(
            *self._read(streams, streams.query[other], streams.query_mask[other], output.sentence[other])
        )

    def terms(self, output: Prediction, inputs: Inputs, target: Target) -> dict[str, Tensor]:
        assert isinstance(output, MESMPrediction)
        streams = output.streams
        moment = mean_of(streams.video, target.labels > 0)
        query = mean_of(prepend(output.sentence, streams.query), F.pad(streams.query_mask, (1, 0), value=True))
        return {
            **super().terms(output, inputs, target),
            "sentences": self.weights.sentences * sentences_loss(moment, query, same(target)),
        }

    def hide(self, output: MESMPrediction, words: WordTarget) -> Tensor:
        """The words (B, Q, d), some of them hidden."""
        return torch.where(words.hidden[..., None], self.hidden_word, output.streams.query)

    def words_loss(self, output: MESMPrediction, words: Tensor, classes: Tensor, target: Target) -> Tensor:
        """How badly words (B, Q, d), some of them hidden, are known as `classes` (B, Q) from the moment's clips.

        A sample without a relevant clip, or without a class, counts 0.
        """
        mask, relevant = target.mask, target.labels > 0
        told = relevant.any(dim=1, keepdim=True)
        asked = (classes >= 0) & told
        position = clip_code(mask, self.hidden)
        for layer in self.enhance:
            words = layer(
                words, torch.zeros_like(words), output.streams.video, torch.where(told, relevant, mask), position
            )
        likely = self.word(words).float().log_softmax(dim=-1)
        right = likely.gather(-1, classes.clamp(min=0)[..., None]).squeeze(-1)
        loss = -(1 - SMOOTHING) * right - SMOOTHING * likely.mean(dim=-1)
        return (torch.where(asked, loss, 0.0).sum(dim=1) / asked.sum(dim=1).clamp(min=1)).mean()


def same(target: Target) -> Tensor:
    """Which samples (B, B) are of one source video and of almost one moment, as shares of their videos."""
    bounds = to_bounds(target.spans)
    hull = torch.stack((bounds[..., 0].nan_to_num(2).amin(dim=1), bounds[..., 1].nan_to_num(-1).amax(dim=1)), dim=-1)
    number = {source: index for index, source in enumerate(target.sources)}
    source = torch.tensor([number[each] for each in target.sources], device=hull.device)
    alike = generalised_iou(hull[:, None], hull[None]) >= ALIKE
    own = torch.eye(len(hull), dtype=torch.bool, device=hull.device)
    return own | (alike & (source[:, None] == source))


def sentences_loss(moment: Tensor, query: Tensor, positive: Tensor) -> Tensor:
    """The contrast of each moment (B, d) with all queries (B, d), of which `positive` (B, B) belong to it."""
    alike = F.normalize(moment, dim=-1) @ F.normalize(query, dim=-1).T / TEMPERATURE
    alike = alike - alike.amax(dim=1, keepdim=True).detach()
    share = alike - (alike.exp().sum(dim=1, keepdim=True) + 1e-6).log()
    return -(torch.where(positive, share, 0.0).sum(dim=1) / (positive.sum(dim=1) + 1e-6)).mean()


def word_target(sentences: Sequence[str], mask: Tensor, classes: int) -> WordTarget:
    """What words there are to be known again, a third of them hidden at random.

    A word's class is its checksum, so that a vocabulary need not be counted. Sentences whose words do not stand one to
    one with their features (B, Q), of which mask (B, Q) is valid, are not asked for; where features have a start and an
    end beside, those are not.
    """
    known = torch.full(mask.shape, -1)
    for row, (sentence, count) in enumerate(zip(sentences, mask.sum(dim=1).tolist(), strict=True)):
        words = re.findall(r"\w+", sentence.lower())
        first = {len(words): 0, len(words) + 2: 1}.get(count)
        if first is not None:
            numbers = [zlib.crc32(word.encode()) % classes for word in words]
            known[row, first : first + len(words)] = torch.tensor(numbers, dtype=torch.long)
    known = known.to(mask.device)
    asked = known >= 0
    count = asked.sum(dim=1, keepdim=True)
    most = torch.where(count > 1, (count // 3).clamp(min=1), 0)
    rank = torch.rand(mask.shape, device=mask.device).masked_fill(~asked, 2.0).argsort(dim=1).argsort(dim=1)
    return WordTarget(known, rank < most)
