"""The numbers of published point predictors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from src.data.batch import GroundTruth, Inputs
from src.data.records import Moment
from src.models.predictor import Streams
from tests.models.golden import Golden


class PointGolden(Golden):
    """A file whose video enters the input projections as it stands, normalised and with its places beside it."""

    @property
    def clip_seconds(self) -> Tensor:
        """(B,)"""
        return self.duration.double() / self["input/video_length"]

    @property
    def truth(self) -> GroundTruth:
        """The windows, and the labels as one annotator's scores."""
        moments = []
        for row, (windows, labels) in enumerate(zip(self["input/windows"], self["input/saliency"], strict=True)):
            clips = labels.nonzero().squeeze(1).tolist()
            moments.append(
                Moment(
                    str(row),
                    f"v{row}",
                    "a query",
                    tuple(map(tuple, windows[~windows[:, 0].isnan()].double().tolist())),
                    float(self.duration[row]),
                    saliency=tuple((float(labels[clip]), 0.0, 0.0) for clip in clips),
                    relevant_clips=tuple(clips),
                    clip_seconds=float(self.clip_seconds[row]),
                )
            )
        return GroundTruth.of(moments)

    def streams(self, inputs: Inputs) -> Streams:
        network = self.network
        assert network.embed_video is not None
        video = network.embed_video.projection(inputs.video)  # type: ignore[operator]
        query = network.embed_query.projection(inputs.query)  # type: ignore[operator]
        return Streams(video, inputs.snippet_mask, query, inputs.query_mask, inputs, progress=1.0)

    def __call__(self, inputs: Inputs | None = None) -> Any:
        return self.predictor(self.streams(inputs if inputs is not None else self.inputs))


def rows(windows: Tensor, scores: Tensor) -> Tensor:
    """Moments (n, 3) of one query in an order that does not depend on near-equal scores: by start, then end."""
    moments = torch.cat((windows, scores[:, None]), dim=1)
    return torch.tensor(sorted(moments.tolist()))
