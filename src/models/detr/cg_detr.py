"""CG-DETR: Correlation-Guided Query-Dependency Calibration for Video Temporal Grounding (Moon et al. 2023).

Dummies beside the words take the attention of clips that no word is about; what is left to the words says how much the
query engages a clip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.data.batch import Inputs
from src.models.detr.anchor_detr import TokenDETR, apart, ranking_against
from src.models.detr.detr import DETRSettings, Prediction, Target, Weights
from src.models.detr.layers import EncoderLayer, TextToVideoLayer, initialise, mean_of, prepend
from src.models.detr.losses import margin_loss, negative_loss, ranking_loss
from src.models.dropout import StochasticDepth, drop
from src.models.position import clip_code
from src.models.predictor import Streams


@dataclass
class CGDETRWeights(Weights):
    """`align`: of moments and sentences; `distill`: of the attention; `orthogonal`: of dummies and prompts."""

    align: float = 1.0
    distill: float = 1.0
    orthogonal: float = 1.0


@dataclass(frozen=True, kw_only=True)
class CGDETRSettings(DETRSettings):
    """The settings of CG-DETR.

    Attributes:
        cross_layers: Layers from dummies to words, and from clips to both.
        dummies: D.
        prompts: P, from which the saliency token is made.
        top_prompts: k, of which it is made in the end.
    """

    cross_layers: int
    dummies: int
    prompts: int
    top_prompts: int
    weights: CGDETRWeights

    def build(self) -> CGDETR:
        return CGDETR(self)


@dataclass
class CGPrediction(Prediction):
    """With what is compared in training: D dummies, then Q words.

    Attributes:
        video: (B, L, d), embedded, at `position` (B, L, d).
        tokens: (B, D + Q, d), the dummies that know the query, and the embedded words.
        token_mask: (B, D + Q).
        attention: (B, L, D + Q) of clips to them.
        engaged: (B, L) how much of a clip's attention the words have; `engaged_negative`: the next sample's words.
    """

    video: Tensor = None  # type: ignore[assignment]
    position: Tensor = None  # type: ignore[assignment]
    tokens: Tensor = None  # type: ignore[assignment]
    token_mask: Tensor = None  # type: ignore[assignment]
    attention: Tensor = None  # type: ignore[assignment]
    engaged: Tensor = None  # type: ignore[assignment]
    engaged_negative: Tensor | None = None


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


class CGDETR(TokenDETR):
    """Clips read words and dummies, then each other beside a token that is made of the prompts they resemble."""

    settings: CGDETRSettings
    weights: CGDETRWeights

    def __init__(self, settings: CGDETRSettings) -> None:
        super().__init__(settings, residual=StochasticDepth)
        hidden, dropout = settings.hidden, settings.dropout

        def encoders(count: int) -> nn.ModuleList:
            sizes = (*settings.sizes, nn.PReLU, dropout, StochasticDepth)
            return nn.ModuleList(EncoderLayer(*sizes) for _ in range(count))

        def vectors(*count: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*count, hidden))

        self.text_to_video = nn.ModuleList(
            AdaptiveLayer(*settings.sizes, dropout) for _ in range(settings.cross_layers)
        )
        self.moment_encoder = encoders(1)
        initialise(self.text_to_video, self.encoder, self.decoder, self.moment_encoder)
        self.dummy_encoder, self.sentence_encoder = encoders(settings.cross_layers), encoders(1)
        self.dummies, self.dummy_position = vectors(settings.dummies), vectors(settings.dummies)
        self.prompts = vectors(settings.prompts)
        self.sentence_token, self.sentence_position = vectors(), vectors()
        self.moment_token, self.moment_position = vectors(), vectors()
        self.stream_types = vectors(2)

    def forward(self, streams: Streams) -> CGPrediction:
        samples, mask = len(streams.video), streams.video_mask
        of_words, of_clips = self.stream_types
        video, words = streams.video + of_clips, streams.query + of_words
        tokens = torch.cat((self._informed_dummies(words, streams.query_mask), words), dim=1)
        token_mask = F.pad(streams.query_mask, (self.settings.dummies, 0), value=True)

        paired = self.pairings(replace(streams, video=video, query=tokens, query_mask=token_mask))
        position = clip_code(paired.video_mask, self.hidden)
        clips, attention = self._read(paired, position)
        engaged = attention[..., self.settings.dummies :].sum(dim=-1).clamp(0, 1)
        token = self._saliency_token(paired.video, paired.video_mask, engaged)
        whole, memory = self.encode(token, clips, position, paired.video_mask)
        memory = memory + whole[:, None]

        saliency, negative = apart(self.agreement(whole, memory), samples)
        engaged, engaged_negative = apart(engaged, samples)
        position = position[:samples]
        return CGPrediction(
            *self.moments(memory[:samples], position, mask),
            saliency,
            negative,
            video=video,
            position=position,
            tokens=tokens,
            token_mask=token_mask,
            attention=attention[:samples],
            engaged=engaged,
            engaged_negative=engaged_negative,
        )

    def _informed_dummies(self, words: Tensor, mask: Tensor) -> Tensor:
        """Dummies that have read the words (B, Q, d), of which mask (B, Q) is valid: (B, D, d)."""
        dummies = self.dummies.expand(len(words), -1, -1)
        x, mask = torch.cat((dummies, words), dim=1), F.pad(mask, (len(self.dummies), 0), value=True)
        position = torch.cat((self.dummy_position.expand_as(dummies), torch.zeros_like(words)), dim=1)
        for layer in self.dummy_encoder:
            x = layer(x, position, mask)
        return x[:, : len(self.dummies)]

    def _read(self, streams: Streams, position: Tensor) -> tuple[Tensor, Tensor]:
        """Clips (B, L, d) that have read words and dummies, and their attention (B, L, D + Q), averaged over layers."""
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

    def _saliency_token(self, video: Tensor, mask: Tensor, engaged: Tensor) -> Tensor:
        """The prompts that the engaged clips resemble, seen from the mean clip, and that clip: (B, d)."""
        mean = mean_of(video, mask).detach()
        weight = torch.where(mask, engaged.detach(), 0.0)
        weight = weight / weight.sum(dim=1, keepdim=True)
        alike = F.normalize(video - mean[:, None], dim=-1) @ F.normalize(self.prompts, dim=-1).T
        share = torch.einsum("blp,bl->bp", alike.softmax(dim=-1), weight)
        share, chosen = share.topk(min(self.settings.top_prompts, len(self.prompts)), dim=1)
        token = (share[..., None] * self.prompts[chosen]).sum(dim=1) + mean
        # The token goes through the same layers, with nothing to attend to: what attention adds is its bias.
        for layer in self.text_to_video:
            assert isinstance(layer, AdaptiveLayer)
            token = layer.after(token, layer.attention.output.bias.expand_as(token))
        return token

    def terms(self, output: Prediction, inputs: Inputs, target: Target) -> dict[str, Tensor]:
        assert isinstance(output, CGPrediction)
        count, relevant = self.settings.dummies, target.labels > 0
        dummies, words = output.tokens[:, :count], output.tokens[:, count:]
        word_mask = output.token_mask[:, count:]
        sentence, words = self._summary(words, torch.zeros_like(words), word_mask)
        everything = torch.ones_like(output.token_mask[:, :count])
        filler, fillers = self._summary(dummies, self.dummy_position.expand_as(dummies), everything)
        moment, inside = self._moment(output, relevant)
        rest, outside = self._moment(output, target.mask & ~relevant)

        frames = torch.where(relevant[..., None], inside, outside)
        belongs = F.binary_cross_entropy_with_logits(
            torch.einsum("bd,bld->bl", moment, frames), relevant.to(frames.dtype), reduction="none"
        )
        align = contrast(moment, rest, sentence, torch.arange(len(moment), device=moment.device))
        # As released: meant was any class but the sample's own.
        align = align + contrast(moment, rest, filler, F.one_hot(torch.tensor(0), len(moment)).to(moment.device))
        align = align + belongs[target.mask].mean()
        distill = distillation(inside, torch.cat((fillers, words), dim=1), output, relevant)
        orthogonal = overlap(dummies) + overlap(self.prompts)
        return {
            **super().terms(output, inputs, target),
            "align": self.weights.align * align,
            "distill": self.weights.distill * distill,
            "orthogonal": self.weights.orthogonal * orthogonal,
        }

    def _summary(self, tokens: Tensor, position: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """A sentence (B, d) of tokens (B, N, d), and the tokens in it (B, N, d)."""
        x, position = prepend(self.sentence_token, tokens), prepend(self.sentence_position, position)
        for layer in self.sentence_encoder:
            x = layer(x, position, F.pad(mask, (1, 0), value=True))
        return x[:, 0], x[:, 1:]

    def _moment(self, output: CGPrediction, clips: Tensor) -> tuple[Tensor, Tensor]:
        """A vector (B, d) for those `clips` (B, L), and all clips (B, L, d) after looking at those."""
        x, position = prepend(self.moment_token, output.video), prepend(self.moment_position, output.position)
        for layer in self.moment_encoder:
            x = layer(x, position, F.pad(clips, (1, 0), value=True))
        return x[:, 0], x[:, 1:]

    def saliency_loss(self, output: Prediction, target: Target) -> Tensor:
        """QD-DETR's three terms on the saliency and on how much the words engage each clip, and its cross-entropy.

        A next sample of the same source video is no negative.
        """
        assert isinstance(output, CGPrediction)
        engaged, pairs = output.engaged, (target.positive, target.negative, self.weights.margin)
        loss = margin_loss(output.saliency, *pairs) + margin_loss(engaged, *pairs)
        relevant = (target.labels > 0).to(engaged.dtype)
        entropy = relevant * log(engaged) + (1 - relevant) * log(1 - engaged)
        loss = loss - entropy[target.mask].mean()

        other, labels, mask = target.next_is_other, target.labels, target.mask
        if output.negative is None or output.engaged_negative is None or not other.any():
            return loss + ranking_loss(output.saliency, labels, mask) + ranking_loss(engaged, labels, mask)
        strangers = labels[other], mask[other]
        loss = loss + ranking_against(output.saliency[other], output.negative[other], *strangers)
        loss = loss + ranking_against(engaged[other], output.engaged_negative[other], *strangers)
        loss = loss + negative_loss(output.negative[other], mask[other])
        loss = loss - torch.where(mask, log(1 - output.engaged_negative), 0.0)[other].sum(dim=1).mean()
        if int((~other).sum()) > 1:  # as released: not for one
            loss = loss + ranking_loss(output.saliency[~other], labels[~other], mask[~other])
        return loss


def log(share: Tensor) -> Tensor:
    """The logarithm of a number in [0, 1], finite."""
    return share.float().clamp(min=1e-6).log()


def contrast(moment: Tensor, rest: Tensor, sentence: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy of the sentence (B, d) in the place `classes` (B,) among each moment's cosines, (B, d) each, to all
    sentences, followed by those of what is not in the moment."""
    moment, rest, sentence = (F.normalize(x, dim=-1) for x in (moment, rest, sentence))
    return F.cross_entropy(torch.cat((moment @ sentence.T, rest @ sentence.T), dim=1), classes)


def distillation(frames: Tensor, tokens: Tensor, output: CGPrediction, relevant: Tensor) -> Tensor:
    """What the attention of relevant clips (B, L) lacks of the similarity of frames (B, L, d) to tokens (B, D + Q, d).

    The Kullback-Leibler divergence of a clip by the number of its tokens, averaged over the relevant clips.
    """
    similarity = (frames @ tokens.mT).masked_fill(~output.token_mask[:, None], -torch.inf)
    taught = similarity.detach().float().log_softmax(dim=-1)
    lacking = taught.exp() * (taught - (output.attention + 1e-6).log())
    lacking = torch.where(output.token_mask[:, None], lacking, 0.0).sum(dim=-1) / output.token_mask.sum(dim=1)[:, None]
    return lacking[relevant].sum() / relevant.sum().clamp(min=1)


def overlap(vectors: Tensor) -> Tensor:
    """The mean of |cosine| of all pairs of vectors (…, N, d), that of a vector with itself counted as 0."""
    unit = F.normalize(vectors, dim=-1)
    cosine = unit @ unit.mT.detach()
    return cosine.masked_fill(torch.eye(cosine.shape[-1], dtype=torch.bool, device=cosine.device), 0.0).abs().mean()
