"""Golden numbers of the networks of maps, and this project's networks run on their inputs with their weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from src.data.batch import Batch, GroundTruth, Inputs
from src.data.records import Moment
from src.models.mergers import VideoOnly
from src.models.network import Network
from src.models.predictor import Predictor, Streams
from src.models.proposals.maps import MapOutput
from src.models.published import Published
from src.models.releases import read_published


class Golden:
    """One file. `network` has its weights, read as a published checkpoint's are."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with np.load(path) as archive:
            arrays = {name: torch.from_numpy(np.asarray(archive[name])) for name in archive.files}
        self.arrays = {name: x.float() if x.dtype == torch.float16 else x for name, x in arrays.items()}
        self.input, self.output = self.group("input/"), self.group("output/")
        self.published: Published = read_published(path)

    def group(self, prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): x for name, x in self.arrays.items() if name.startswith(prefix)}

    def number(self, name: str) -> float:
        return float(self.input[name])

    def load(self, predictor: Predictor) -> Network:
        found = self.published
        network = Network(predictor, VideoOnly(predictor.hidden), None, None, found.video_dim, found.text_dim)
        missing, unexpected = network.load_state_dict(found.weights, strict=False)
        assert (missing, unexpected) == (["unknown_word"], [])
        return network

    def batch(self, video: Tensor, length: Tensor) -> Batch:
        words = self.input["words"]
        duration, windows = self.input["duration"], self.input["window"].double()
        inputs = Inputs(
            video=video,
            narrative=None,
            snippet_mask=torch.arange(video.shape[1]) < length[:, None],
            query=words,
            query_mask=self.input["word_mask"],
            unknown=torch.zeros_like(self.input["word_mask"]),
            sentences=["a query"] * len(words),
            duration=duration,
        )
        moments = [
            Moment(str(i), str(i), "a query", ((float(s), float(e)),), float(d))
            for i, ((s, e), d) in enumerate(zip(windows, duration, strict=True))
        ]
        target = torch.zeros(len(words), 2, dtype=torch.long)
        return Batch(inputs, GroundTruth(moments, windows[:, None], target, duration))


def streams(network: Network, inputs: Inputs) -> Streams:
    """Embedded; the clips' length is one already, but for half precision."""
    video = network.embed_video.linear(inputs.video).relu()  # type: ignore[union-attr, operator]
    query = network.embed_query(inputs.query, inputs.query_mask, inputs)
    return Streams(video, inputs.snippet_mask, query, inputs.query_mask, inputs, 1.0)


def order(cells: Tensor, ours: Tensor) -> Tensor:
    """Which of ours each of the file's cells is; both are (K, n)."""
    same = (cells[:, None] == ours[None]).all(dim=2)
    assert (same.sum(dim=0) == 1).all()
    assert (same.sum(dim=1) == 1).all()
    return same.long().argmax(dim=1)


def alone(inputs: Inputs, row: int) -> Inputs:
    """One of the inputs, without padding."""
    length, words = int(inputs.length[row]), int(inputs.query_mask[row].sum())
    assert inputs.video is not None
    return Inputs(
        video=inputs.video[row : row + 1, :length],
        narrative=None,
        snippet_mask=inputs.snippet_mask[row : row + 1, :length],
        query=inputs.query[row : row + 1, :words],
        query_mask=inputs.query_mask[row : row + 1, :words],
        unknown=inputs.unknown[row : row + 1, :words],
        sentences=inputs.sentences[row : row + 1],
        duration=inputs.duration[row : row + 1],
    )


def assert_gradients(golden: Golden, network: Network, norms: dict[str, Tensor], tolerance: float) -> None:
    """The gradients' norms are those of the file, by its names, and no weight has one that the file does not tell."""
    named = dict(network.named_parameters())
    for name, norm in norms.items():
        gradient = named.pop(golden.published.names[name]).grad
        assert gradient is not None, name
        torch.testing.assert_close(gradient.norm(), norm, atol=1e-6, rtol=tolerance, msg=name)
    assert set(named) == {"unknown_word"}


def ranked_windows(output: MapOutput, duration: Tensor) -> Tensor:
    """The windows of a network of one map, best first, (B, P, 2)."""
    order = output.yes.argsort(dim=1, descending=True)
    return output.windows(duration).gather(1, order[..., None].expand(-1, -1, 2))
