"""How much the words of a query engage each clip, as CG-DETR and FlashVTG have it.

Dummies beside the words take the attention of clips that no word is about; what is left to the words says how much the
query engages a clip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.detr.anchor_detr import ranking_against
from src.models.detr.layers import EncoderLayer, TextToVideoLayer
from src.models.detr.losses import margin_loss, negative_loss, ranking_loss
from src.models.dropout import StochasticDepth, drop
from src.models.predictor import Streams


@dataclass
class Engagement:
    """Of the clips of B samples, (B, L) each.

    Attributes:
        saliency: How salient they are.
        negative: The same with the next sample's words; only in training, and only where there is another sample.
        engaged: How much of their attention the words have, in [0, 1].
        engaged_negative: The same with the next sample's words.
    """

    saliency: Tensor
    negative: Tensor | None
    engaged: Tensor
    engaged_negative: Tensor | None


class AdaptiveAttention(nn.Module):
    """Attention without input projections, of which the share that dummies get is lost."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.output = nn.Linear(dim, dim)
        nn.init.zeros_(self.output.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """query (B, L, d) over key and value (B, D + Q, d), of which mask (B, D + Q) is valid; dummies have no value.

        Returns:
            (B, L, d); the weights (B, L, D + Q), averaged over the heads.
        """
        query, key, value = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (query, key, value))
        scores = query @ key.mT / math.sqrt(query.shape[-1])
        weights = scores.masked_fill(~mask[:, None, None], -torch.inf).softmax(dim=-1)
        kept = drop(weights, self.dropout) if self.training else weights
        return self.output((kept @ value).transpose(1, 2).flatten(2)), weights.mean(dim=1)


class AdaptiveLayer(TextToVideoLayer):
    """From clips to words and dummies."""

    attention: AdaptiveAttention  # type: ignore[assignment]

    def __init__(self, dim: int, heads: int, width: int, dropout: float) -> None:
        super().__init__(dim, heads, width, nn.PReLU, dropout, StochasticDepth)
        self.attention = AdaptiveAttention(dim, heads, dropout)


class Correlation(nn.Module):
    """Types of the streams, dummies that have read the words, and clips that read both.

    Args:
        dim: d.
        heads: Of every attention.
        width: Hidden width of the feed-forward parts.
        dropout: Rate of everything that is dropped.
        dummies: D.
        dummy_layers: Layers from dummies to words.
        cross_layers: Layers from clips to words and dummies.
    """

    def __init__(
        self, dim: int, heads: int, width: int, dropout: float, dummies: int, dummy_layers: int, cross_layers: int
    ) -> None:
        super().__init__()
        self.text_to_video = nn.ModuleList(AdaptiveLayer(dim, heads, width, dropout) for _ in range(cross_layers))
        self.dummy_encoder = nn.ModuleList(
            EncoderLayer(dim, heads, width, nn.PReLU, dropout, StochasticDepth) for _ in range(dummy_layers)
        )
        self.dummies = nn.Parameter(torch.randn(dummies, dim))
        self.dummy_position = nn.Parameter(torch.randn(dummies, dim))
        self.stream_types = nn.Parameter(torch.randn(2, dim))

    def prepared(self, streams: Streams) -> Streams:
        """The streams with their types; in the words' place D dummies that know them, then the words: (B, D + Q, d)."""
        of_words, of_clips = self.stream_types
        words, mask = streams.query + of_words, F.pad(streams.query_mask, (len(self.dummies), 0), value=True)
        dummies = self.dummies.expand(len(words), -1, -1)
        x = torch.cat((dummies, words), dim=1)
        position = torch.cat((self.dummy_position.expand_as(dummies), torch.zeros_like(words)), dim=1)
        for layer in self.dummy_encoder:
            x = layer(x, position, mask)
        tokens = torch.cat((x[:, : len(self.dummies)], words), dim=1)
        return replace(streams, video=streams.video + of_clips, query=tokens, query_mask=mask)

    def forward(self, streams: Streams, position: Tensor) -> tuple[Tensor, Tensor]:
        """What clips read in prepared streams, placed at position (B, L, d).

        Returns:
            The clips (B, L, d), and their attention to dummies and words (B, L, D + Q), averaged over layers.
        """
        clips, tokens, count = streams.video, streams.query, len(self.dummies)
        keys = tokens + F.pad(self.dummy_position, (0, 0, 0, tokens.shape[1] - count))
        values = F.pad(tokens[:, count:], (0, 0, count, 0))
        attention = []
        for layer in self.text_to_video:
            assert isinstance(layer, AdaptiveLayer)
            attended, weights = layer.attention(clips + position, keys, values, streams.query_mask)
            clips = layer.after(clips, attended)
            attention.append(weights)
        return clips, torch.stack(attention).mean(dim=0)

    def engaged(self, attention: Tensor) -> Tensor:
        """How much of their attention (B, L, D + Q) clips give to words: (B, L) in [0, 1]."""
        return attention[..., len(self.dummies) :].sum(dim=-1).clamp(0, 1)


def engagement_loss(
    found: Engagement, labels: Tensor, mask: Tensor, pairs: tuple[Tensor, Tensor], margin: float, other: Tensor
) -> Tensor:
    """QD-DETR's three terms on the saliency and on how much the words engage each clip, and its cross-entropy.

    A next sample of the same source video is no negative.

    Args:
        found: Of the clips.
        labels: (B, L), above 0 where relevant, of which mask (B, L) is valid.
        mask: The clips.
        pairs: (B, P) each, a more and a less relevant clip.
        margin: By which the first should outscore the second.
        other: (B,) whether the next sample is of another source video.
    """
    engaged, negative, unengaged = found.engaged, found.negative, found.engaged_negative
    loss = margin_loss(found.saliency, *pairs, margin) + margin_loss(engaged, *pairs, margin)
    relevant = (labels > 0).to(engaged.dtype)
    entropy = relevant * log(engaged) + (1 - relevant) * log(1 - engaged)
    loss = loss - entropy[mask].mean()
    if negative is None or unengaged is None or not other.any():
        return loss + ranking_loss(found.saliency, labels, mask) + ranking_loss(engaged, labels, mask)
    strangers = labels[other], mask[other]
    loss = loss + ranking_against(found.saliency[other], negative[other], *strangers)
    loss = loss + ranking_against(engaged[other], unengaged[other], *strangers)
    loss = loss + negative_loss(negative[other], mask[other])
    loss = loss - torch.where(mask, log(1 - unengaged), 0.0)[other].sum(dim=1).mean()
    if int((~other).sum()) > 1:  # as released: not for one
        loss = loss + ranking_loss(found.saliency[~other], labels[~other], mask[~other])
    return loss


def log(share: Tensor) -> Tensor:
    """The logarithm of a number in [0, 1], finite."""
    return share.float().clamp(min=1e-6).log()
