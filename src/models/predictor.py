"""The contract between the LightningModule and a predictor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from src.data.batch import Batch
from src.errors import UserError

Stream = Literal["video", "narrative", "query"]


@dataclass
class RankedMoments:
    """What a predictor answers: for each query of a batch its candidate moments, best first.

    Attributes:
        windows: (B, K, 2) seconds, inside the video, start <= end.
        scores: (B, K) descending; comparable within a query only.
        saliency: (B, L) a score for each snippet, where the predictor has one.
    """

    windows: Tensor
    scores: Tensor
    saliency: Tensor | None = None


class Predictor(nn.Module, ABC):
    """A moment retrieval network over embedded snippets and words.

    The LightningModule embeds each stream with an `embedding` of the predictor's own kind, merges video and narrative,
    and calls the predictor on the result. B queries, L snippets, Q words, d hidden. Masks are True where
    valid, and padding never takes part: a sample's result does not depend on its batch.

    Attributes:
        learns_all_windows: whether a sample teaches every window of its query at once. Otherwise it teaches one, the
            batch's `target`, and training has a sample for each window.
    """

    learns_all_windows: ClassVar[bool] = False

    @abstractmethod
    def embedding(self, dim: int, stream: Stream) -> nn.Module:
        """A new input projection for a stream, called as (features (B, N, dim), mask (B, N)) → (B, N, d)."""

    @abstractmethod
    def forward(self, video: Tensor, video_mask: Tensor, query: Tensor, query_mask: Tensor) -> Any:
        """Map video (B, L, d), its mask (B, L), query (B, Q, d) and its mask (B, Q) to this predictor's own output."""

    @abstractmethod
    def losses(self, output: Any, batch: Batch, progress: float) -> dict[str, Tensor]:
        """The terms of the training loss, weighted, under the names they are logged by; their sum is minimised.

        Args:
            output: of `forward` in training mode.
            batch: the ground truth.
            progress: epoch / number of epochs, in [0, 1).
        """

    @abstractmethod
    def decode(self, output: Any, batch: Batch, top: int) -> RankedMoments:
        """The `top` best moments of each query, or fewer where the predictor has fewer."""

    def boundary_network(self) -> Predictor:
        """A second network of this kind with weights of its own, whose boundary scores can be added to this one's.

        Raises:
            UserError: this predictor has no boundary scores, so that it cannot have a paragraph branch.
        """
        raise UserError(
            f"paragraph: {type(self).__name__} scores no boundaries that a paragraph branch could be added to: "
            "choose paragraph=none, or a span predictor (predictor=emb)"
        )
