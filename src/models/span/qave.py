"""QAVE: a Query-Aware Video Encoder (Hao et al., Neurocomputing 2022), the base network of Shuffling (ECCV 2022)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from src.data.batch import GroundTruth, Inputs
from src.models.attention import AdditiveAttention
from src.models.predictor import Clips, Stream, Streams
from src.models.probabilities import log_softmax
from src.models.proposals.predictor import Projection
from src.models.recurrent import StackedLSTM
from src.models.span.base import Boundaries, BoundaryPredictor, BoundarySettings, SpanOutput
from src.models.words import sentence
from src.moments import RankedMoments


@dataclass(frozen=True, kw_only=True)
class QAVESettings(BoundarySettings):
    """The settings of a `QAVE`.

    Attributes:
        inputs: Size of the snippets that enter; features of another size are projected to it.
        words: d_t, of a word and of the sentence; even.
        head: Width of the heads of start and end.
        match: Width of what says how each snippet matches the query, by which the head reads it; 0: it reads all alike.
        end: Where a moment ends that lasts to the snippet e: with the snippet (`whole`), or where it begins, as in the
            released code (`released`).
    """

    inputs: int
    words: int
    head: int
    match: int
    end: Literal["whole", "released"]

    def build(self) -> QAVE:
        return QAVE(self)


class Words(nn.Module):
    """Words, projected, by their states in LSTMs over the query."""

    def __init__(self, dim: int, size: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, dim)
        self.lstm = StackedLSTM(dim, size // 2, 2, dropout)

    def forward(self, features: Tensor, mask: Tensor, inputs: Inputs) -> Tensor:
        """features (B, Q, dim), of which mask (B, Q) is valid, to (B, Q, size)."""
        return self.lstm(self.linear(features), mask)


class QueryAwareBlock(nn.Module):
    """h = LSTM(x); h ⊙ σ(FC(c)), c the words that each snippet attends to."""

    def __init__(self, dim: int, hidden: int, words: int, dropout: float) -> None:
        super().__init__()
        self.lstm = StackedLSTM(dim, hidden // 2, 2, dropout)
        self.attention = AdditiveAttention(words, hidden, key_dim=hidden)
        self.gate = nn.Linear(words, hidden)

    def forward(self, x: Tensor, mask: Tensor, words: Tensor, words_mask: Tensor) -> Tensor:
        """x (B, L, dim) with its mask (B, L) and words (B, Q, d_t) with theirs (B, Q), zero elsewhere, to (B, L, d)."""
        states = self.lstm(x, mask)
        return states * self.gate(self.attention(words, words_mask, states) @ words).sigmoid()


class QAVE(BoundaryPredictor):
    """Snippets among each other and under the query's gate, twice; start and end of each beside the sentence."""

    settings: QAVESettings
    joint = "sum"

    def __init__(self, settings: QAVESettings) -> None:
        super().__init__(settings)
        self.hidden = settings.inputs
        self.compares_clips = settings.match > 0
        hidden, words, dropout = settings.hidden, settings.words, settings.dropout
        self.blocks = nn.ModuleList(
            QueryAwareBlock(dim, hidden, words, dropout) for dim in (settings.inputs, settings.hidden)
        )
        self.norm = nn.LayerNorm(hidden)
        self.start, self.end = (_scorer(hidden + words, settings.head, nn.Tanh()) for _ in range(2))
        self.match = _scorer(hidden + words, settings.match, nn.ReLU()) if settings.match else None

    def embedding(self, dim: int, stream: Stream) -> nn.Module:
        if stream == "query":
            return Words(dim, self.settings.words, self.settings.dropout)
        return Projection(dim, self.hidden)

    def sibling(self) -> QAVE:
        return QAVE(replace(self.settings, match=0))

    def forward(self, streams: Streams) -> SpanOutput:
        mask = streams.video_mask
        features, read = self._read(streams)
        clips, highlights = None, tuple[Tensor, ...]()
        if self.match is not None:
            match = self.match(read)
            read = read * match
            clips, highlights = Clips(features, match.squeeze(-1)), (match.squeeze(-1),)
        start, end = self.start(read).squeeze(-1), self.end(read).squeeze(-1)
        boundaries = Boundaries(log_softmax(start, mask), log_softmax(end, mask))
        return SpanOutput(boundaries, (boundaries,), highlights, mask, clips=clips)

    def clips(self, streams: Streams) -> Clips:
        assert self.match is not None
        features, read = self._read(streams)
        return Clips(features, self.match(read).squeeze(-1))

    def _read(self, streams: Streams) -> tuple[Tensor, Tensor]:
        """The snippets (B, L, d), and each beside the sentence (B, L, d + d_t)."""
        words_mask, x = streams.query_mask, streams.video
        words = streams.query.masked_fill(~words_mask[..., None], 0.0)
        for block in self.blocks:
            x = block(x, streams.video_mask, words, words_mask)
        features = self.norm(x)
        whole = sentence(words, words_mask)[:, None].expand(-1, x.shape[1], -1)
        return features, torch.cat((features, whole), dim=-1)

    def losses(self, output: SpanOutput, inputs: Inputs, truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        return {"localisation": self.localisation(output, truth.target, truth.target)}

    def decode(self, output: SpanOutput, inputs: Inputs, top: int) -> RankedMoments:
        ranked = super().decode(output, inputs, top)
        if self.settings.end == "whole":
            return ranked
        start, end = ranked.windows.unbind(dim=-1)
        earlier = (end - (inputs.duration / inputs.length)[:, None]).maximum(start)
        return replace(ranked, windows=torch.stack((start, earlier), dim=-1))


def _scorer(dim: int, width: int, activation: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, width), activation, nn.Linear(width, 1))
