"""Masked primitives (Li et al., CVPR 2023): what a query's score must lose, and must keep, with words or clips gone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from src.data.batch import Batch, Inputs
from src.data.similarity import pooled, query_cosines
from src.data.tags import Tag
from src.errors import UserError, reason
from src.models.method import Method, Turn
from src.models.network import Network
from src.models.proposals.maps import MapOutput, MapPredictor

IMPORTANCE = {Tag.NOUN: 1.0, Tag.VERB: 1.0, Tag.ADJECTIVE: 0.6, Tag.ADVERB: 0.6, Tag.OTHER: 0.0}
"""How much of a query's meaning a word of a kind has."""

PADDING = -1
"""In the place of a tag, where there is no word."""


class Tagger(Protocol):
    """Tells the kinds of a sentence's words."""

    def require(self) -> None:
        """Raise a UserError if it cannot be used."""
        ...

    def __call__(self, sentence: str) -> Sequence[int]:
        """A `Tag` for each word of the sentence."""
        ...


class Primitives(NamedTuple):
    """What of a batch may be masked.

    Attributes:
        tags: (B, Q) `Tag`, `PADDING` where there is no word.
        relevance: (B, L) how alike each snippet is to its query, in (0, 1]; 0 in padding.
        moment: (B, L) bool, the snippets of the moment.
        candidates: (B, L) bool, the half of the others that is most alike to the query.
    """

    tags: Tensor
    relevance: Tensor
    moment: Tensor
    candidates: Tensor


class Kept(NamedTuple):
    """What of a batch is shown, `words` (B, Q) and `clips` (B, L) bool, the rest is masked."""

    words: Tensor
    clips: Tensor

    def of(self, inputs: Inputs) -> Inputs:
        """The inputs with what is masked at zero, and still valid: a clip loses its narrative with it."""

        def shown(x: Tensor | None, kept: Tensor) -> Tensor | None:
            return None if x is None else x * kept[..., None]

        query = inputs.query * self.words[..., None]
        video, narrative = shown(inputs.video, self.clips), shown(inputs.narrative, self.clips)
        return replace(inputs, query=query, video=video, narrative=narrative, unknown=inputs.unknown & self.words)


class MaskedPrimitives(Method):
    """Two more samples of each: one that masks what matters, and one that masks what does not.

    Each masks words or clips, as chance has it, and is taught in a step of its own after that of the sample itself.

    Args:
        tagger: Of the queries' words.
        similarity: A JSON file as Primitives has it, with a list of numbers, one a snippet, for each VIDEO_CAPTION;
            null for the cosines of each snippet's narrative with the query.
        negative: Weight of: with what matters gone, the moment is scored lower.
        positive: Weight of: with what does not matter gone, it is scored as before.
        contrast: Weight of: the scores are more like the overlaps in the second than in the first.
    """

    def __init__(
        self, tagger: Tagger, similarity: str | None, negative: float, positive: float, contrast: float
    ) -> None:
        super().__init__()
        self.tagger = tagger
        self.similarity = similarity
        self.weights = {"negative": negative, "positive": positive, "contrast": contrast}
        self._tags: dict[str, Tensor] = {}
        self._similarities: dict[str, list[float]] | None = None

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (self.losses, self.masked)

    def require(self, network: Network) -> None:
        if not isinstance(network.predictor, MapPredictor):
            raise UserError(
                f"method=primitives: {type(network.predictor).__name__} has no score of each segment that could be set "
                "against its overlap with the moment: choose predictor=ms_2d_tan, tan_2d or dcm"
            )
        if self.similarity is None and network.embed_narrative is None and network.paragraph is None:
            raise UserError(
                "method=primitives: a network that reads no narratives does not tell how alike clips and query are: "
                "give method.network.similarity=FILE, or merge narratives (merger=concat_mlp)"
            )
        self.tagger.require()
        if self.similarity is not None:
            self._similarities = read_similarities(Path(self.similarity))

    def masked(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        """The losses of a batch's masked samples."""
        found = self.primitives(batch)
        negative, positive = draw_negative(found), draw_positive(found)
        lowered, kept = (network(each.of(batch.inputs)) for each in (negative, positive))
        predictor = network.predictor
        assert isinstance(predictor, MapPredictor)
        overlap = lowered.overlap(batch.truth)
        terms = masked_losses(lowered, kept, weight(negative, found), overlap, predictor.target)
        return {name: self.weights[name] * term for name, term in terms.items()}

    def primitives(self, batch: Batch) -> Primitives:
        """What of the batch may be masked.

        Raises:
            UserError: the words of the queries do not stand one by one, or there are no similarities of one.
        """
        inputs, mask = batch.inputs, batch.inputs.snippet_mask
        relevance = scaled(self._similarity(batch), mask)
        moment = moment_snippets(batch.truth.windows, inputs.length, inputs.duration, mask)
        return Primitives(self._tagged(inputs), relevance, moment, candidates(relevance, moment))

    def _tagged(self, inputs: Inputs) -> Tensor:
        for sentence in set(inputs.sentences) - self._tags.keys():
            self._tags[sentence] = torch.tensor([int(tag) for tag in self.tagger(sentence)])
        rows = [self._tags[sentence] for sentence in inputs.sentences]
        if [len(row) for row in rows] != inputs.query_mask.sum(dim=1).tolist():
            raise UserError("method=primitives masks words, which have a vector each with text=glove or learned only")
        return pad_sequence(rows, batch_first=True, padding_value=PADDING).to(inputs.query.device)

    def _similarity(self, batch: Batch) -> Tensor:
        """(B, L)."""
        inputs = batch.inputs
        if self._similarities is None:
            return pooled(*query_cosines(inputs), "mean")
        found = torch.zeros_like(inputs.snippet_mask, dtype=torch.float)
        for row, (moment, count) in enumerate(zip(batch.truth.moments, inputs.length.tolist(), strict=True)):
            values = self._similarities.get(key(moment.video, moment.query), [])
            if len(values) < count:
                name = key(moment.video, moment.query)
                raise UserError(f"{self.similarity} has {len(values)} numbers of {name}, of {count} snippets")
            found[row, :count] = torch.tensor(values[:count])
        return found


def read_similarities(path: Path) -> dict[str, list[float]]:
    """A file of similarities, as `MaskedPrimitives` has it.

    Raises:
        UserError: there is none, or it is something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"method.network.similarity={path} cannot be read ({reason(error)})") from error
    if not isinstance(found, dict) or not all(isinstance(row, list) for row in found.values()):
        raise UserError(f"method.network.similarity={path} is no JSON object of lists of numbers")
    return found


def key(video: str, caption: str) -> str:
    """By what a similarity file knows a query: VIDEO_CAPTION, the caption's first 30 words without punctuation.

    >>> key("0QA8P", "the person undressed from all-clothes.")
    '0QA8P_the_person_undressed_from_all_clothes'
    """
    text = re.sub(r"[,.'!?\"()*#:;~]", "", caption.lower()).replace("<person>", "person")
    return "_".join([video, *re.sub(r"[-/]", " ", text).split()[:30]])


def scaled(similarity: Tensor, mask: Tensor) -> Tensor:
    """Similarities (B, L), of which mask (B, L) is valid, from 0 to 1 in each video, but above 0; 0 in padding."""
    least = similarity.masked_fill(~mask, torch.inf).amin(dim=1, keepdim=True)
    most = similarity.masked_fill(~mask, -torch.inf).amax(dim=1, keepdim=True)
    # Where all are alike, one is as relevant as the other.
    share = (similarity - least) / torch.where(most > least, most - least, 1.0)
    return torch.where(share == 0, 1e-9, share).masked_fill(~mask, 0.0)


def moment_snippets(windows: Tensor, length: Tensor, duration: Tensor, mask: Tensor) -> Tensor:
    """The snippets (B, L) from the one nearest to a window's start to before the one nearest to its end.

    Args:
        windows: (B, W, 2) seconds, rows that are not numbers where there are fewer.
        length, duration: (B,) of the videos, in snippets and in seconds.
        mask: (B, L).
    """
    unit = (duration.double() / length)[:, None, None]
    start, end = (windows / unit).round().nan_to_num(0.0).unbind(dim=-1)
    place = torch.arange(mask.shape[1], device=mask.device)
    inside = (place >= start[..., None]) & (place < end[..., None])
    return inside.any(dim=1) & mask


def candidates(relevance: Tensor, moment: Tensor) -> Tensor:
    """The half (halves to even) of the snippets outside the moment that is most relevant: (B, L) bool."""
    outside = (relevance > 0) & ~moment
    rank = relevance.masked_fill(~outside, -1.0).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return outside & (rank < (outside.sum(dim=1, keepdim=True) / 2).round())


def draw_negative(found: Primitives) -> Kept:
    """Masks words that carry meaning, each by chance, or the moment, and candidates by chance."""
    content = (found.tags != PADDING) & (found.tags != Tag.OTHER)
    return _either(content & _chance(content), found.moment | (found.candidates & _chance(found.moment)))


def draw_positive(found: Primitives) -> Kept:
    """Masks other words, or candidates, each by chance."""
    other = found.tags == Tag.OTHER
    return _either(other & _chance(other), found.candidates & _chance(found.candidates))


def weight(kept: Kept, found: Primitives) -> Tensor:
    """(B,) the share that what is masked has in the importance of the words, or in the relevance of the clips."""
    table = torch.tensor([IMPORTANCE[tag] for tag in Tag], device=found.tags.device)
    importance = torch.where(found.tags == PADDING, 0.0, table[found.tags.clamp(min=0)])
    shares = [
        (value * ~shown).sum(dim=1) / torch.where(value.sum(dim=1) > 0, value.sum(dim=1), 1.0)
        for value, shown in ((importance, kept.words), (found.relevance, kept.clips))
    ]
    # Of the two kinds only one is masked.
    return shares[0] + shares[1]


def masked_losses(
    negative: MapOutput, positive: MapOutput, weight: Tensor, overlap: Tensor, target: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """The three losses of masked samples, unweighted, each summed over the maps.

    Args:
        negative, positive: What the network says of the samples in which what matters is masked, and what does not.
        weight: (B,) of the first.
        overlap: (B, K) IoU of the cells with the moment.
        target: Makes of them what cells are taught.
    """
    wanted = target(overlap)
    lowered, kept = negative.yes.exp(), positive.yes.exp()
    contrast = []
    for worse, better, truth in zip(*(negative.by_map(each) for each in (lowered, kept, overlap)), strict=True):
        likeness = torch.stack([F.cosine_similarity(each, truth, dim=1) for each in (better, worse)], dim=1)
        contrast.append(-likeness.log_softmax(dim=1)[:, 0].mean())
    return {
        "negative": negative.summed(weight[:, None] * lowered * wanted),
        "positive": positive.cross_entropy(wanted),
        "contrast": torch.stack(contrast).sum(),
    }


def _either(words: Tensor, clips: Tensor) -> Kept:
    """Masks words (B, Q) or clips (B, L) of each sample, as chance has it."""
    of_words = _chance(words[:, :1])
    return Kept(~(words & of_words), ~(clips & ~of_words))


def _chance(like: Tensor) -> Tensor:
    return torch.rand(like.shape, device=like.device) < 0.5
