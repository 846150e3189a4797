"""EaTR: Knowing Where to Focus, Event-aware Transformer for Video Grounding (Jang et al., ICCV 2023).

Slots find events in the video; each is where a moment query begins, with its content and its anchor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from src.data.batch import Inputs
from src.models.detr.anchors import AnchorCrossAttention, AnchorDecoderLayer, FirstCrossAttention
from src.models.detr.assignment import match, to_spans
from src.models.detr.detr import DETR, DETRSettings, Prediction, Target, Weights
from src.models.detr.inputs import placed
from src.models.detr.layers import EncoderLayer, MultiheadAttention, initialise, logit, mlp
from src.models.detr.losses import margin_loss, span_losses
from src.models.position import clip_code, sine_code_at
from src.models.predictor import Streams


@dataclass
class EaTRWeights(Weights):
    """`events`: how much more the span and the giou of an event weigh than those of a moment."""

    events: float = 3.0


@dataclass(frozen=True, kw_only=True)
class EaTRSettings(DETRSettings):
    """The settings of EaTR.

    Attributes:
        rounds: In which the slots find their events.
    """

    rounds: int
    weights: EaTRWeights

    def build(self) -> EaTR:
        return EaTR(self)


@dataclass
class EaTRPrediction(Prediction):
    """With the events (B, N, 2) that the slots say, centre and width."""

    events: Tensor = None  # type: ignore[assignment]


class EventSlots(nn.Module):
    """Slots that share the clips among them, round after round with the same weights."""

    def __init__(self, dim: int, slots: int, rounds: int) -> None:
        super().__init__()
        self.rounds = rounds
        self.slots = nn.Parameter(torch.empty(slots, dim))
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.mlp = mlp(dim, dim, layers=2)
        self.input_norm = nn.LayerNorm(dim)
        self.slot_norm = nn.LayerNorm(dim)
        self.mlp_norm = nn.LayerNorm(dim)
        self.output_norm = nn.LayerNorm(dim)

    def forward(self, clips: Tensor, mask: Tensor) -> Tensor:
        """clips (B, L, d), of which mask (B, L) is valid, to slots (B, N, d)."""
        clips = self.input_norm(clips)
        key, value = self.key(clips) / math.sqrt(clips.shape[-1]), self.value(clips)
        slots = self.slots.expand(len(clips), -1, -1)
        for _ in range(self.rounds):
            share = (self.query(self.slot_norm(slots)) @ key.mT).softmax(dim=1).masked_fill(~mask[:, None], 0.0)
            slots = slots + (share / (share.sum(dim=-1, keepdim=True) + 1e-8)) @ value
            slots = slots + self.mlp(self.mlp_norm(slots))
        return self.output_norm(slots)


class Gate(nn.Module):
    """Lets the moment queries through as far as they agree with the sentence."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        # What attention over one key comes to.
        self.value = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, dim)
        self.attention = MultiheadAttention(dim, heads=1, dropout=dropout)
        self.linear = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, content: Tensor, sentence: Tensor) -> Tensor:
        """content (B, N, d) with the sentence (B, d); gives (B, N, d)."""
        sentence = self.output(self.value(sentence))[:, None]
        asked = content + sentence
        passed = (content * sentence).sigmoid() * self.attention(asked, asked, asked, None)
        return self.norm(content + self.linear(passed).relu())


class EventDecoder(nn.Module):
    """Anchors that events give read clips and words, and move after each layer."""

    def __init__(self, settings: EaTRSettings) -> None:
        super().__init__()
        dim = settings.hidden
        kinds = [AnchorCrossAttention if index else FirstCrossAttention for index in range(settings.layers)]
        self.layers = nn.ModuleList(
            AnchorDecoderLayer(*settings.sizes, nn.ReLU, settings.dropout, kind) for kind in kinds
        )
        self.gate = Gate(dim, settings.dropout)
        self.norm = nn.LayerNorm(dim)
        self.position = nn.Sequential(nn.Linear(2 * dim, dim), nn.ReLU(), nn.Linear(dim, dim))
        self.code_scale = mlp(dim, dim, layers=2)
        self.reference_width = mlp(dim, 1, layers=2)
        self.move = mlp(dim, 2, layers=3)

    def forward(
        self, content: Tensor, anchors: Tensor, sentence: Tensor, memory: Tensor, position: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Run every layer.

        Args:
            content: (B, N, d) of the moment queries.
            anchors: (B, N, 2) centre and width in (0, 1).
            sentence: (B, d).
            memory, position: (B, M, d) of clips and words, of which mask (B, M) is valid.

        Returns:
            The normalised content after each layer (layers, B, N, d); the anchors that entered it (layers, B, N, 2).
        """
        contents, entered = [], []
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, AnchorDecoderLayer)
            entered.append(anchors)
            # The next layer reads where the anchors are; it does not move them to read better.
            here = anchors.detach()
            codes = sine_code_at(2 * math.pi * here, content.shape[-1])
            query_position = self.position(codes.flatten(-2))
            code = codes[..., 0, :] * self.code_scale(content)
            code = code * self.reference_width(content).sigmoid() / here[..., 1:]
            content = layer.relate(content, query_position)
            if index == 0:
                content = self.gate(content, sentence)
            content = layer.read(content, query_position, code, memory, position, mask)
            contents.append(self.norm(content))
            anchors = (self.move(content) + logit(here)).sigmoid()
        return torch.stack(contents), torch.stack(entered)


class EaTR(DETR):
    """Clips and words are encoded together; moment queries, made of the events of the video, read them."""

    settings: EaTRSettings
    weights: EaTRWeights

    def __init__(self, settings: EaTRSettings) -> None:
        super().__init__(settings)
        hidden, sizes = settings.hidden, (*settings.sizes, nn.ReLU, settings.dropout)
        self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(settings.layers))
        self.slots = EventSlots(hidden, settings.queries, settings.rounds)
        self.event_norm = nn.LayerNorm(hidden)
        self.event_span = mlp(hidden, 2, layers=3)
        self.decoder = EventDecoder(settings)
        initialise(self)
        # At first every event, and so every anchor, is the middle half of the video.
        for head in (self.event_span, self.decoder.move):
            for parameter in head[-1].parameters():
                nn.init.zeros_(parameter)
        self.label = nn.Linear(hidden, 2)
        self.saliency = nn.Linear(hidden, 1)

    def forward(self, streams: Streams) -> EaTRPrediction:
        video, query = streams.video, streams.query
        code = clip_code(streams.video_mask, self.hidden)
        slots = self.slots(video + code, streams.video_mask)

        x = torch.cat((video, query), dim=1)
        mask = torch.cat((streams.video_mask, streams.query_mask), dim=1)
        position = torch.cat((code, torch.zeros_like(query)), dim=1)
        for layer in self.encoder:
            x = layer(x, position, mask)
        sentence = query.masked_fill(~streams.query_mask[..., None], -torch.inf).amax(dim=1)
        contents, anchors = self.decoder(slots, self.event_span(slots).sigmoid(), sentence, x, position, mask)
        return EaTRPrediction(
            logits=self.label(contents),
            spans=(self.decoder.move(contents) + logit(anchors)).sigmoid(),
            saliency=self.saliency(x[:, : video.shape[1]]).squeeze(-1),
            events=self.event_span(self.event_norm(slots)).sigmoid(),
        )

    def saliency_loss(self, output: Prediction, target: Target) -> Tensor:
        return margin_loss(output.saliency, target.positive, target.negative, self.weights.margin)

    def terms(self, output: Prediction, inputs: Inputs, target: Target) -> dict[str, Tensor]:
        assert isinstance(output, EaTRPrediction)
        weights, events = self.weights, self.events(inputs)
        spans = output.events
        matches = match(torch.zeros_like(spans), spans, events, (weights.span, weights.giou, 0.0))
        span, giou = span_losses(spans, events, matches)
        return {
            **super().terms(output, inputs, target),
            "event_span": weights.events * weights.span * span,
            "event_giou": weights.events * weights.giou * giou,
        }

    def events(self, inputs: Inputs) -> Tensor:
        """What the slots are taught: `pseudo_events` of the video, and of the narratives where there is none."""
        if inputs.video is not None:
            return pseudo_events(placed(inputs.video, inputs.snippet_mask, self.settings.streams), inputs.snippet_mask)
        assert inputs.narrative is not None
        return pseudo_events(placed(inputs.narrative, inputs.snippet_mask), inputs.snippet_mask)


@torch.no_grad()
def pseudo_events(features: Tensor, mask: Tensor) -> Tensor:
    """What lies between the clips at which features (B, L, D), of which mask (B, L) is valid, change the most.

    A clip is a boundary where the two clips before it differ from the two after it by no less than on average, and by
    no less than at its neighbours; the first and the last clip are.

    Returns:
        (B, E, 2) centre and width in [0, 1]; NaN rows are no event.
    """
    unit = features / (torch.linalg.vector_norm(features, dim=-1, keepdim=True) + 1e-8)
    unit = torch.where(mask[..., None], unit, 0.0)
    far = F.pad(unit, (0, 0, 2, 2))
    count = mask.shape[1]
    before, after = far[:, :count] + far[:, 1 : count + 1], far[:, 3 : count + 3] + far[:, 4 : count + 4]
    change = (before - after).pow(2).sum(dim=-1)
    length = mask.sum(dim=1)
    average = torch.where(mask, change, 0.0).sum(dim=1) / length
    edge = torch.arange(count, device=mask.device)
    ends = (edge == 0) | (edge == length[:, None] - 1)
    change = change.masked_fill(ends, torch.inf).masked_fill(~mask, -torch.inf)
    around = F.pad(change, (1, 1), value=-torch.inf)
    boundary = mask & (change >= average[:, None]) & (change >= around[:, :-2]) & (change >= around[:, 2:])
    places = [row.nonzero().squeeze(1) / size for row, size in zip(boundary, length, strict=True)]
    events = [to_spans(torch.stack((place[:-1], place[1:]), dim=1)) for place in places]
    return pad_sequence(events, batch_first=True, padding_value=torch.nan)
