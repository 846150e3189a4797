"""Text-Enhanced Alignment: streams embedded, narratives merged into the video, a predictor, the paragraph branch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from src.data.batch import Inputs
from src.models.match import NarrativeEmbedding
from src.models.mergers import Merger
from src.models.paragraph import ParagraphQuery
from src.models.predictor import Predictor, Streams, embed_rewordings
from src.moments import RankedMoments


class Network(nn.Module):
    """What is learned: (video, narrative, query) → the predictor's output.

    Args:
        predictor: Also says how a stream is embedded.
        merger: Of the embedded video and narratives.
        paragraph: The parallel branch over (narrative, query), or None.
        match: Tells how narratives match the query, or None.
        video_dim: D_v; None where the merger reads no video.
        text_dim: D_t, the size of the narrative and word vectors.

    Attributes:
        progress: The share of training that is done, in [0, 1]: some predictors change on the way. A checkpoint keeps
            it with the weights.
    """

    def __init__(
        self,
        predictor: Predictor[Any],
        merger: Merger,
        paragraph: ParagraphQuery | None,
        match: nn.Module | None,
        video_dim: int | None,
        text_dim: int,
    ) -> None:
        super().__init__()
        self.unknown_word = nn.Parameter(nn.init.xavier_uniform_(torch.empty(1, text_dim)).squeeze(0))
        self.embed_video = predictor.embedding(video_dim, "video") if video_dim is not None else None
        self.embed_narrative = (
            NarrativeEmbedding(predictor.embedding(text_dim, "narrative"), match) if merger.uses_narrative else None
        )
        self.embed_query = predictor.embedding(text_dim, "query")
        self.merger = merger
        self.predictor = predictor
        self.paragraph = paragraph
        self.progress = 1.0

    def forward(self, inputs: Inputs) -> Any:
        streams = self.streams(inputs)
        output = self.predictor(streams)
        if self.paragraph is None:
            return output
        return self.predictor.fuse(output, self.paragraph(streams.inputs, self.progress), self.paragraph.alpha)

    def streams(self, inputs: Inputs) -> Streams:
        """The streams of `inputs` embedded, with narratives merged into the video: what the predictor reads."""
        mask, query_mask = inputs.snippet_mask, inputs.query_mask
        inputs = replace(inputs, query=torch.where(inputs.unknown[..., None], self.unknown_word, inputs.query))
        video = self.embed_video(inputs.video, mask, inputs) if self.embed_video is not None else None
        narrative = self.embed_narrative(inputs) if self.embed_narrative is not None else None
        query = self.embed_query(inputs.query, query_mask, inputs)
        merged = self.merger(video, narrative, mask, query, query_mask)
        rewordings = embed_rewordings(self.predictor, self.embed_query, inputs)
        return Streams(merged, mask, query, query_mask, inputs, self.progress, rewordings)

    def rank(self, inputs: Inputs, top: int) -> RankedMoments:
        """The answer to each query: at most `top` moments. Everything that retrieves moments goes through here."""
        return self.predictor.decode(self(inputs), inputs, top)
