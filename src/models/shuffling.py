"""Shuffling: Can Shuffling Video Benefit Temporal Bias Problem (Hao et al., ECCV 2022), of networks that have clips."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.data.batch import Batch, Inputs
from src.errors import UserError
from src.models.dropout import Dropout
from src.models.method import Method
from src.models.network import Network
from src.models.span.base import SpanOutput


class Order(nn.Module):
    """Tells the moment among what comes before and after it in the video from one that was moved there.

    Args:
        dim: The size of a snippet.
        dropout: Of what is told by.
    """

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.context = nn.Linear(2 * dim, dim)
        self.classify = nn.Linear(3 * dim, 2)
        self.dropout = Dropout(dropout)

    def forward(self, features: Tensor, moment: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Snippets (B, L, d), and which are the moment's, those up to its first and those from its last on, each (B, L)
        bool, to logits (B, 2) that the video is as it was, and that it is not."""
        inside, left, right = (_mean(features, part) for part in (moment, before, after))
        left = self.context(torch.cat((left, inside), dim=-1)).relu()
        right = self.context(torch.cat((inside, right), dim=-1)).relu()
        return self.classify(self.dropout(torch.cat((inside, left, right), dim=-1)))


class Shuffling(Method):
    """Beside each video one in which the moment has been moved: it should match the query there as it did before.

    Narratives move with their snippets.

    Args:
        hidden: The size of the predictor's clips.
        intra: Weight of the loss that snippets of the moment match the query and others do not, in both videos; in the
            first only where the predictor's own losses do not say so.
        inter: Weight of the loss that each snippet of the moment has the same share of it in both.
        order: Weight of the loss that the videos are told from each other by what surrounds the moment.
        dropout: Of what they are told by.
    """

    def __init__(self, hidden: int, intra: float, inter: float, order: float, dropout: float) -> None:
        super().__init__()
        self.weights = {"intra": intra, "inter": inter, "order": order}
        self.order = Order(hidden, dropout)

    def require(self, network: Network) -> None:
        predictor = network.predictor
        if not predictor.compares_clips:
            raise UserError(
                f"method=shuffling: {type(predictor).__name__} has no score for each snippet of the video by which its "
                "head reads it, which is what is compared between videos: choose predictor=emb or vslnet, or qave with "
                "predictor.network.match=1024"
            )

    def losses(self, network: Network, batch: Batch) -> dict[str, Tensor]:
        inputs, truth, predictor = batch.inputs, batch.truth, network.predictor
        output: SpanOutput = network(inputs)
        assert output.clips is not None
        mask, target = inputs.snippet_mask, truth.target
        place = draw(target, inputs.length)
        pseudo, pseudo_target = moved(inputs, target, place), target + (place - target[:, 0])[:, None]
        clips, others = output.clips, predictor.clips(network.streams(pseudo))
        moment, pseudo_moment = within(target, mask), within(pseudo_target, mask)

        intra = intra_loss(others.match, pseudo_moment, mask)
        if not predictor.teaches_match:
            intra = intra + intra_loss(clips.match, moment, mask)
        orders = [
            self.order(clips.features, *parts(target, mask)),
            self.order(others.features, *parts(pseudo_target, mask)),
        ]
        classes = torch.arange(2, device=mask.device).repeat_interleave(len(mask))
        further = {
            "intra": intra,
            "inter": inter_loss(clips.match, others.match, moment, target[:, 0], place),
            "order": F.cross_entropy(torch.cat(orders), classes),
        }
        terms = predictor.losses(output, inputs, truth, network.progress)
        return terms | {name: self.weights[name] * term for name, term in further.items()}


def draw(target: Tensor, length: Tensor) -> Tensor:
    """Where each moment goes, (B,): its first snippet, each place as probable. One of one snippet stays where it is.

    Args:
        target: (B, 2) the first and last snippet of the moment.
        length: (B,) snippets of the video.
    """
    count = target[:, 1] - target[:, 0] + 1
    place = (torch.rand(len(target), device=target.device) * (length - count + 1)).long().minimum(length - count)
    return torch.where(count > 1, place, target[:, 0])


def order_of(target: Tensor, place: Tensor, mask: Tensor) -> Tensor:
    """(B, L) which snippet stands where once the moment was moved to begin at `place` (B,); padding stays."""
    first, count = target[:, :1], target[:, 1:] - target[:, :1] + 1
    position, place = torch.arange(mask.shape[1], device=mask.device), place[:, None]
    rest = torch.where(position < place, position, position - count)
    rest = torch.where(rest < first, rest, rest + count)
    inside = (position >= place) & (position < place + count)
    return torch.where(mask, torch.where(inside, first + position - place, rest), position)


def moved(inputs: Inputs, target: Tensor, place: Tensor) -> Inputs:
    """The inputs with each moment at its `place` (B,), the snippets of its narrative with it."""
    order = order_of(target, place, inputs.snippet_mask)[..., None]

    def reordered(stream: Tensor | None) -> Tensor | None:
        return None if stream is None else stream.gather(1, order.expand(-1, -1, stream.shape[2]))

    return replace(inputs, video=reordered(inputs.video), narrative=reordered(inputs.narrative))


def within(span: Tensor, mask: Tensor) -> Tensor:
    """(B, L) which snippets are from the first to the last of a span (B, 2), within the video."""
    position = torch.arange(mask.shape[1], device=mask.device)
    return (position >= span[:, :1]) & (position <= span[:, 1:]) & mask


def parts(target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which snippets (B, L) are the moment's, up to its first, and from its last on."""
    start, end = target.unbind(dim=-1)
    none, last = torch.zeros_like(start), torch.full_like(end, mask.shape[1])
    spans = target, torch.stack((none, start), dim=-1), torch.stack((end, last), dim=-1)
    moment, before, after = (within(span, mask) for span in spans)
    return moment, before, after


def intra_loss(match: Tensor, moment: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy of logits (B, L) that a snippet is the moment's, over the batch's valid snippets."""
    loss = F.binary_cross_entropy_with_logits(match, moment.to(match.dtype), mask.to(match.dtype), reduction="sum")
    return loss / (mask.sum() + 1e-4)


def share(match: Tensor, moment: Tensor) -> Tensor:
    """Of each snippet of the moment, exp(z) / (Σ exp(z) + 1e-4) of its logit z: (B, L), zero elsewhere."""
    logits = match.masked_fill(~moment, -torch.inf)
    total = torch.logaddexp(logits.logsumexp(dim=1, keepdim=True), logits.new_tensor(math.log(1e-4)))
    return (logits - total).exp()


def inter_loss(match: Tensor, pseudo_match: Tensor, moment: Tensor, first: Tensor, place: Tensor) -> Tensor:
    """The divergence of the moment's shares in the pseudo video from those in the video, mean over the batch.

    Args:
        match, pseudo_match: (B, L) logits.
        moment: (B, L) bool, the moment's snippets in the video.
        first, place: (B,) where it begins in the video and in the pseudo video.
    """
    position = torch.arange(match.shape[1], device=match.device)
    there = (position + (place - first)[:, None]).clamp(0, match.shape[1] - 1)
    own, other = share(match, moment), share(pseudo_match.gather(1, there), moment)
    return (own * ((own + 1e-4) / (other + 1e-4)).log()).sum(dim=1).mean()


def _mean(features: Tensor, part: Tensor) -> Tensor:
    weight = part.to(features.dtype)[:, None]
    return (weight @ features.masked_fill(~part[..., None], 0.0)).squeeze(1) / (weight.sum(dim=-1) + 1e-6)
