"""What the DETR predictors share: inputs, set prediction of moments, and their decoding."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from src.data.batch import GroundTruth, Inputs
from src.errors import UserError
from src.models.detr.assignment import Matches, match, to_bounds, to_spans
from src.models.detr.inputs import ClipEmbedding, WordEmbedding
from src.models.detr.labels import draw_pairs, first_window, saliency_labels, sources
from src.models.detr.losses import label_loss, span_losses
from src.models.predictor import Predictor, Stream
from src.moments import RankedMoments


@dataclass
class Prediction:
    """A DETR's output: N moments of each sample after each decoder layer, and a score for each clip.

    Attributes:
        logits: (layers, B, N, 2), foreground first.
        spans: (layers, B, N, 2) centre and width, in [0, 1].
        saliency: (B, L).
        negative: (B, L) saliency with another query's words; only in training, and only where there is another query.
    """

    logits: Tensor
    spans: Tensor
    saliency: Tensor
    negative: Tensor | None = None


@dataclass
class Target:
    """What a batch is taught in a step.

    Attributes:
        spans: (B, W, 2) annotated (centre, width) in [0, 1]; NaN rows are none.
        labels: (B, L) saliency of the clips, of which `mask` (B, L) is valid.
        positive, negative: (B, P) clips of the pairs that the margin loss compares.
        first: (B, L) bool, the clips of the first annotated window.
        sources: the source video of each sample.
        inside: (B, L) bool, the clips of all windows; only where a network asks for it.
    """

    spans: Tensor
    labels: Tensor
    mask: Tensor
    positive: Tensor
    negative: Tensor
    first: Tensor
    sources: list[str]
    inside: Tensor = None  # type: ignore[assignment]

    @property
    def next_is_other(self) -> Tensor:
        """(B,) bool: whether the next sample (the first, after the last) is of another source video."""
        following = self.sources[1:] + self.sources[:1]
        other = [mine != theirs for mine, theirs in zip(self.sources, following, strict=True)]
        return torch.tensor(other, device=self.mask.device)


@dataclass
class Weights:
    """Of the loss terms. The first three also price a pair in matching; `background` is a class weight of `label`."""

    span: float = 10.0
    giou: float = 1.0
    label: float = 4.0
    background: float = 0.1
    saliency: float = 1.0
    margin: float = 0.2


@dataclass(frozen=True, kw_only=True)
class DETRSettings(ABC):
    """The settings of a DETR.

    Attributes:
        hidden: d, the hidden size.
        heads: Heads of every attention; they divide d.
        layers: Layers of each stack.
        feed_forward: Hidden width of the feed-forward parts.
        queries: N, the moments that are predicted for each query.
        dropout: Rate within the transformer.
        input_dropout: Rate within the input projections.
        streams: Sizes of the streams side by side in the video features; None: they are one.
        max_windows: At most so many windows of a query are learned from in a step, drawn at random; None: all.
        weights: Weights of the losses.
    """

    hidden: int
    heads: int
    layers: int
    feed_forward: int
    queries: int
    dropout: float
    input_dropout: float
    streams: Sequence[int] | None
    max_windows: int | None
    weights: Weights

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Of every layer: d, heads, and the hidden width of the feed-forward."""
        return self.hidden, self.heads, self.feed_forward

    @abstractmethod
    def build(self) -> DETR:
        """A new network, with new weights."""


class DETR(Predictor[Prediction]):
    """Predicts a set of moments, each with its probability, and learns by matching them to the annotated windows."""

    learns_all_windows = True

    def __init__(self, settings: DETRSettings) -> None:
        super().__init__()
        self.settings = settings
        self.hidden = settings.hidden
        self.weights = settings.weights

    @abstractmethod
    def saliency_loss(self, output: Prediction, target: Target) -> Tensor:
        """The unweighted loss of the clips' saliency."""

    def label_loss(self, logits: Tensor, matches: Matches) -> Tensor:
        """The unweighted loss of a layer's logits (B, N, 2)."""
        return label_loss(logits, matches, self.weights.background)

    def embedding(self, dim: int, stream: Stream) -> nn.Module:
        settings = self.settings
        if stream == "query":
            return WordEmbedding(dim, self.hidden, settings.input_dropout)
        streams = settings.streams if stream == "video" else None
        return ClipEmbedding(dim, self.hidden, settings.input_dropout, streams)

    def losses(self, output: Prediction, inputs: Inputs, truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        return self.terms(output, inputs, self.target(inputs, truth, queries=output.spans.shape[2]))

    def target(self, inputs: Inputs, truth: GroundTruth, queries: int) -> Target:
        """What `queries` moment queries are taught in this step, drawn at random where there is a choice."""
        labels, mask = saliency_labels(inputs, truth), inputs.snippet_mask
        pairs = draw_pairs(labels, mask)
        spans = self._targets(truth, queries)
        return Target(spans, labels, mask, *pairs, first_window(inputs, truth), sources(truth.moments))

    def terms(self, output: Prediction, inputs: Inputs, target: Target) -> dict[str, Tensor]:
        """The terms of the training loss, weighted."""
        return {
            **self.set_losses(output, target.spans),
            "saliency": self.weights.saliency * self.saliency_loss(output, target),
        }

    def set_losses(self, output: Prediction, targets: Tensor) -> dict[str, Tensor]:
        """`set_terms`, weighted."""
        weights = {"span": self.weights.span, "giou": self.weights.giou, "label": self.weights.label}
        terms = self.set_terms(output, targets)
        return {name: weights[name.split("_")[0]] * term for name, term in terms.items()}

    def set_terms(self, output: Prediction, targets: Tensor) -> dict[str, Tensor]:
        """The span, giou and label loss of each decoder layer: `span_0` the first layer's, `span` the last's.

        Args:
            output: What the network gave.
            targets: (B, W, 2) annotated (centre, width) in [0, 1]; NaN rows are none.
        """
        layers, samples = output.logits.shape[:2]
        weights = self.weights
        matches = match(
            output.logits.flatten(0, 1),
            output.spans.flatten(0, 1),
            targets.repeat(layers, 1, 1),
            (weights.span, weights.giou, weights.label),
        )
        terms: dict[str, Tensor] = {}
        for layer in range(layers):
            mine = matches.of(layer * samples, samples)
            span, giou = span_losses(output.spans[layer], targets, mine)
            label = self.label_loss(output.logits[layer], mine)
            name = "" if layer == layers - 1 else f"_{layer}"
            terms |= {f"span{name}": span, f"giou{name}": giou, f"label{name}": label}
        return terms

    def decode(self, output: Prediction, inputs: Inputs, top: int) -> RankedMoments:
        foreground = output.logits[-1].softmax(dim=-1)[..., 0]
        scores, order = foreground.topk(min(top, foreground.shape[1]), dim=1)
        spans = output.spans[-1].gather(1, order[..., None].expand(-1, -1, 2))
        windows = to_bounds(spans).clamp(0, 1) * inputs.duration[:, None, None]
        return RankedMoments.of(windows, scores, inputs.length, output.saliency)

    def _targets(self, truth: GroundTruth, queries: int) -> Tensor:
        """The windows to learn from in this step as (centre, width) (B, W, 2), NaN rows where none."""
        windows, most = truth.windows.float(), self.settings.max_windows
        if most is not None and windows.shape[1] > most:
            # Absent windows draw −1, so that they are taken last.
            draw = torch.rand(windows.shape[:2], device=windows.device).masked_fill(windows[..., 0].isnan(), -1)
            chosen = draw.topk(most, dim=1).indices
            windows = windows.gather(1, chosen[..., None].expand(-1, -1, 2))
        counts = (~windows[..., 0].isnan()).sum(dim=1)
        if (counts > queries).any():
            moment = truth.moments[int(counts.argmax())]
            raise UserError(
                f"query {moment.query_id} has {int(counts.max())} windows, more than the predictor's {queries} moment "
                "queries: raise predictor.network.queries, or set predictor.network.max_windows"
            )
        return to_spans(windows / truth.duration[:, None, None])
