"""VSLNet: Span-based Localizing Network for Natural Language Video Localization (Zhang et al., ACL 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from src.data.batch import GroundTruth, Inputs
from src.models.predictor import Stream, Streams
from src.models.span.base import HighlightPredictor, HighlightSettings, SpanOutput, begin
from src.models.span.boundary import EncoderHead, ForwardHead, SpanBranch
from src.models.span.convolutional import ConvolutionalEncoder
from src.models.span.fusion import Fusion, Trilinear
from src.models.span.letters import SpeltEmbedding


@dataclass(frozen=True, kw_only=True)
class VSLNetSettings(HighlightSettings):
    """The settings of a `VSLNet`.

    Attributes:
        head: What start and end are read of: the states of an `lstm`, or a second `encoder`'s.
        places: Snippets and words of a sequence that have learned places of their own.
        letters: Size of a letter's vector; 0 for words that are not spelt.
        alphabet: The letters that are told apart.
    """

    head: Literal["lstm", "encoder"]
    places: int
    letters: int
    alphabet: str

    def build(self) -> VSLNet:
        return VSLNet(self)


class VSLNet(HighlightPredictor):
    """One encoder for snippets and words, their fusion, and start and end within the highlighted part."""

    settings: VSLNetSettings

    def __init__(self, settings: VSLNetSettings) -> None:
        super().__init__(settings)
        hidden, dropout = settings.hidden, settings.dropout
        self.encoder = self._encoder()
        self.fusion = Fusion(hidden, Trilinear(hidden, dropout), nn.Identity())
        if settings.head == "lstm":
            self.span = SpanBranch(hidden, ForwardHead(hidden), ForwardHead(hidden))
        else:
            encoder = self._encoder()
            self.span = SpanBranch(hidden, EncoderHead(hidden, encoder), EncoderHead(hidden, encoder))
        begin(self)

    def _encoder(self) -> ConvolutionalEncoder:
        settings = self.settings
        return ConvolutionalEncoder(settings.hidden, settings.heads, settings.dropout, settings.places)

    def embedding(self, dim: int, stream: Stream) -> nn.Module:
        settings = self.settings
        if stream != "query" or settings.letters == 0:
            return super().embedding(dim, stream)
        embedding = SpeltEmbedding(dim, self.hidden, settings.dropout, settings.alphabet, settings.letters)
        begin(embedding)
        return embedding

    def sibling(self) -> VSLNet:
        return VSLNet(self.settings)

    def fused(self, streams: Streams) -> Tensor:
        video_mask, query_mask = streams.video_mask, streams.query_mask
        video = self.encoder(streams.video, video_mask)
        query = self.encoder(streams.query, query_mask)
        fused: Tensor = self.fusion(video, video_mask, query, query_mask)
        return fused

    def losses(self, output: SpanOutput, inputs: Inputs, truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        return self.span_losses(output, truth.target, chosen=truth.target, highlight_end="paper")
