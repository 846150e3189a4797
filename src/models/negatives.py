"""Queries asked of videos that they are not about, as DCM is taught (Yang et al., SIGIR 2021)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from src.data.batch import Batch, GroundTruth, Inputs
from src.errors import UserError
from src.models.method import Method
from src.models.network import Network
from src.models.proposals.maps import MapPredictor


class NegativeVideo(Method):
    """Asks each query also of another video of its batch, none of whose segments is its moment.

    Args:
        weight: γ, of what is taught so.
    """

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def require(self, network: Network) -> None:
        if not isinstance(network.predictor, MapPredictor):
            raise UserError(
                f"method=dcm: {type(network.predictor).__name__} has no score of a segment that says by itself whether "
                "it is the moment, and of a video without the moment there is nothing else to say: choose "
                "predictor=dcm, tan_2d or ms_2d_tan"
            )

    def losses(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        terms = super().losses(network, batch)
        queries, videos = other_videos(batch.truth)
        if len(queries):
            output = network(asked_of(batch.inputs, queries, videos))
            terms["negative"] = self.weight * output.cross_entropy(torch.zeros_like(output.yes))
        return terms


def other_videos(truth: GroundTruth) -> tuple[Tensor, Tensor]:
    """Queries, and for each a drawn row of the batch of another video; queries without one are left out."""
    device, videos = truth.duration.device, [moment.video for moment in truth.moments]
    number = torch.tensor([videos.index(video) for video in videos], device=device)
    other = number[:, None] != number
    queries = other.any(dim=1).nonzero().squeeze(1)
    drawn = torch.multinomial(other[queries].float(), 1).squeeze(1) if len(queries) else queries
    return queries, drawn


def asked_of(inputs: Inputs, queries: Tensor, videos: Tensor) -> Inputs:
    """The queries of some rows of the inputs of the videos of others, with these videos' narratives."""
    changed: dict[str, Tensor | None] = {}
    for rows, names in (
        (queries, ("query", "query_mask", "unknown", "rewordings", "reworded")),
        (videos, ("video", "narrative", "snippet_mask", "duration")),
    ):
        for name in names:
            value = getattr(inputs, name)
            changed[name] = None if value is None else value[rows]
    return replace(inputs, sentences=[inputs.sentences[row] for row in queries.tolist()], **changed)  # type: ignore[arg-type]
