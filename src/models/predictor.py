"""The contract between the network as a whole and a predictor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar

from torch import Tensor, nn

from src.data.batch import GroundTruth, Inputs
from src.errors import UserError
from src.moments import RankedMoments

Stream = Literal["video", "narrative", "query"]
Output = TypeVar("Output")


class Clips(NamedTuple):
    """Snippets (B, L, d) as a network's head is given them, and logits (B, L) that each is in the moment, by which the
    head reads of them."""

    features: Tensor
    match: Tensor


@dataclass
class Streams:
    """What a predictor sees: the inputs of a batch, with their streams embedded and narratives merged into the video.

    Attributes:
        video: (B, L, d), of which `video_mask` (B, L) is valid.
        query: (B, Q, d), of which `query_mask` (B, Q) is valid.
        inputs: what they were made of, the sentences as text and the durations among it.
        progress: the share of training that is done, in [0, 1]; 1 for a network that is trained no more.
        rewordings: (B, R, d), the query's rewordings embedded as its words are, of which `inputs.reworded` says which
            there are; None where there are none, or the predictor reads none.
    """

    video: Tensor
    video_mask: Tensor
    query: Tensor
    query_mask: Tensor
    inputs: Inputs
    progress: float
    rewordings: Tensor | None = None


class Predictor(nn.Module, ABC, Generic[Output]):
    """A moment retrieval network over embedded snippets and words, typed by its own output.

    The network around it embeds each stream with an `embedding` of the predictor's own kind, merges video and
    narratives, and calls the predictor on the result. B queries, L snippets, Q words, d hidden. Masks are True where
    valid, and padding never takes part: a sample's result does not depend on its batch.

    Attributes:
        hidden: d.
        compares_clips: whether it has `clips`, as its output has of what it was made of.
        teaches_match: whether its own losses teach the logits of its `clips`.
        reads_rewordings: whether it looks at a query's rewordings, which are embedded for it alone.
        learns_all_windows: whether a sample teaches every window of its query at once. Otherwise it teaches one, the
            ground truth's `target`, and training has a sample for each window.
    """

    hidden: int
    compares_clips: bool = False
    teaches_match: ClassVar[bool] = False
    reads_rewordings: ClassVar[bool] = False
    learns_all_windows: ClassVar[bool] = False

    @abstractmethod
    def embedding(self, dim: int, stream: Stream) -> nn.Module:
        """A new input projection for a stream, called as (features (B, N, dim), mask (B, N), Inputs) → (B, N, d).

        Embeddings of several streams may share a module of this predictor.
        """

    @abstractmethod
    def forward(self, streams: Streams) -> Output:
        """Map embedded streams to this predictor's own output."""

    @abstractmethod
    def losses(self, output: Output, inputs: Inputs, truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        """The terms of the training loss, weighted, under the names they are logged by; their sum is minimised.

        Args:
            output: What `forward` gave in training mode.
            inputs: What it saw.
            truth: What it is taught.
            progress: The share of training that is done, in [0, 1).
        """

    @abstractmethod
    def decode(self, output: Output, inputs: Inputs, top: int) -> RankedMoments:
        """The `top` best moments of each query, or fewer where the predictor has fewer."""

    def clips(self, streams: Streams) -> Clips:
        """The snippets of the streams as this network's head is given them, for methods that compare videos."""
        raise NotImplementedError(f"{type(self).__name__} has no clips")

    def sibling(self) -> Predictor[Output]:
        """A network of this kind and these settings with weights of its own, whose output can be fused with this one's.

        Raises:
            UserError: this predictor's scores have no fixed places, so that it cannot have a paragraph branch.
        """
        raise UserError(
            f"paragraph: {type(self).__name__} scores no boundaries that a paragraph branch could be added to: "
            "choose paragraph=none, or a span predictor (predictor=emb)"
        )

    def fuse(self, video: Output, paragraph: Output, alpha: float) -> Output:
        """This network's output with its sibling's added, whose weight is α of Eq. 14, >= 0."""
        raise NotImplementedError(f"{type(self).__name__} has no sibling")


def embed_rewordings(predictor: Predictor[Any], embedding: nn.Module, inputs: Inputs) -> Tensor | None:
    """The rewordings of `inputs`, (B, R, d), through the embedding of the query's words; None where none are read."""
    if inputs.rewordings is None or not predictor.reads_rewordings:
        return None
    return embedding(inputs.rewordings, inputs.reworded, inputs)


class Settings(Protocol):
    """What conf/predictor describes: a predictor's settings, from which any number of networks can be built."""

    def build(self) -> Predictor[Any]:
        """A new network, with new weights."""
        ...
