"""UVCOM: Bridging the Gap, A Unified Video Comprehension Framework for Moment Retrieval and Highlight Detection (Xiao
et al., CVPR 2024). Clips and words read each other, and centres of the words say which clips belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.data.batch import Inputs
from src.models.detr.anchor_detr import TokenDETR
from src.models.detr.detr import DETRSettings, Prediction, Target, Weights
from src.models.detr.layers import TextToVideoLayer, initialise, logit, mean_of, mlp
from src.models.position import clip_code
from src.models.predictor import Streams

SPREAD = 1.2
"""Of a centre, among vectors of length one."""
SHARPNESS = 5.0
"""Of how clips choose among the words' centres."""
WALK = 0.5
"""ω, the chance that the random walk between clips and centres goes on."""


@dataclass
class UVCOMWeights(Weights):
    """`similarity`: of videos with their queries, and clips with the moment."""

    similarity: float = 1.0


@dataclass(frozen=True, kw_only=True)
class UVCOMSettings(DETRSettings):
    """The settings of UVCOM.

    Attributes:
        word_centres, clip_centres: How many there are.
        rounds: In which they are found.
        content_rounds: In which the contents of the moment queries are made.
        width: Hidden width of the parts that are no transformer.
        mining_from: The share of training from which negatives are those least like the video.
    """

    word_centres: int
    clip_centres: int
    rounds: int
    content_rounds: int
    width: int
    mining_from: float
    weights: UVCOMWeights

    def build(self) -> UVCOM:
        return UVCOM(self)


@dataclass
class UVCOMPrediction(Prediction):
    """With cosines, in training: of videos and queries (B, B), of clips with their query (B, L)."""

    of_videos: Tensor = None  # type: ignore[assignment]
    of_clips: Tensor = None  # type: ignore[assignment]


class Understood(NamedTuple):
    """A video with a query.

    whole (B, d) and memory (B, L, d) are encoded, fused (B, L, d) is what was; sentence (B, d) is of the words.
    """

    whole: Tensor
    memory: Tensor
    fused: Tensor
    sentence: Tensor


class QueryContents(nn.Module):
    """The contents of the moment queries: what the sentence becomes with the video, and a vector for each.

    The published network has slots for it that all begin, and so stay, the same.
    """

    def __init__(self, dim: int, queries: int, rounds: int, width: int) -> None:
        super().__init__()
        self.rounds = rounds
        self.input_norm = nn.LayerNorm(dim)
        self.value = nn.Linear(dim, dim)
        self.mlp = mlp(dim, dim, layers=3, width=width)
        self.mlp_norm = nn.LayerNorm(dim)
        self.output_norm = nn.LayerNorm(dim)
        self.queries = nn.Parameter(torch.randn(queries, dim))

    def forward(self, sentence: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """sentence (B, d) and memory (B, L, d), of which mask (B, L) is valid, to contents (B, N, d)."""
        seen = mean_of(self.value(self.input_norm(memory)), mask)
        for _ in range(self.rounds):
            sentence = sentence + seen
            sentence = sentence + self.mlp(self.mlp_norm(sentence))
        return self.output_norm(sentence)[:, None] + self.queries


class UVCOM(TokenDETR):
    """Clips that belong together are mixed and encoded beside the centre most like the words; anchors read them."""

    settings: UVCOMSettings
    weights: UVCOMWeights

    def __init__(self, settings: UVCOMSettings) -> None:
        super().__init__(settings)
        hidden, layers, width = settings.hidden, settings.layers, settings.width
        sizes = (*settings.sizes, nn.PReLU, settings.dropout)
        self.text_to_video = nn.ModuleList(TextToVideoLayer(*sizes) for _ in range(layers))
        self.video_to_text = nn.ModuleList(TextToVideoLayer(*sizes) for _ in range(layers))
        self.sentence = nn.Sequential(nn.Linear(hidden, hidden), nn.LayerNorm(hidden))
        self.word_centres = nn.Parameter(torch.empty(settings.word_centres, hidden))
        self.clip_centres = nn.Parameter(torch.empty(settings.clip_centres, hidden))
        self.local = nn.ModuleList(
            (nn.Linear(hidden, hidden), nn.Conv1d(hidden, hidden, 3, padding=1), nn.Linear(hidden, hidden))
        )
        self.video_side = mlp(hidden, hidden, layers=3, width=width)
        self.query_side = mlp(hidden, hidden, layers=3, width=width)
        self.contents = QueryContents(hidden, settings.queries, settings.content_rounds, width)
        initialise(self.text_to_video, self.video_to_text, self.encoder, self.decoder)
        initialise(self.sentence, self.local, self.video_side, self.query_side, self.contents)
        for centres in (self.word_centres, self.clip_centres):
            nn.init.xavier_uniform_(centres)

    def forward(self, streams: Streams) -> Prediction:
        mask = streams.video_mask
        position = clip_code(mask, self.hidden)
        seen = self._understand(streams, streams.query, streams.query_mask, position)
        content = self.contents(seen.sentence, seen.memory, mask)
        contents, anchors = self.decoder(self.anchors(len(mask)), seen.memory, position, mask, content)
        # The anchors that left each layer.
        spans = (self.span(contents) + logit(anchors[1:])).sigmoid()
        output = UVCOMPrediction(self.label(contents), spans, self.agreement(seen.whole, seen.memory))
        if not self.training:
            return output
        query = F.normalize(self.query_side(seen.sentence), dim=-1)
        clips = F.normalize(self.video_side(seen.fused), dim=-1)
        output.of_videos = F.normalize(self.video_side(seen.whole), dim=-1) @ query.T
        output.of_clips = torch.einsum("bld,bd->bl", clips, query)
        if len(mask) > 1:
            other = torch.arange(len(mask), device=mask.device).roll(-1)
            if streams.progress >= self.settings.mining_from:
                other = least_alike(output.of_videos, mean_of(clips, mask) @ query.T)
            stranger = self._understand(streams, streams.query[other], streams.query_mask[other], position)
            output.negative = self.agreement(stranger.whole, stranger.memory)
        return output

    def _understand(self, streams: Streams, words: Tensor, words_mask: Tensor, position: Tensor) -> Understood:
        """The videos of the streams with words (B, Q, d), of which words_mask (B, Q) is valid."""
        video, mask = streams.video, streams.video_mask
        clips, read = video, words
        nowhere = torch.zeros_like(words)
        for to_video, to_text in zip(self.text_to_video, self.video_to_text, strict=True):
            clips, read = (
                to_video(clips, position, words, words_mask),
                to_text(read, nowhere, video, mask, position),
            )
        word_centres = centres(self.word_centres, read, words_mask, self.settings.rounds)
        clip_centres = centres(self.clip_centres, clips, mask, self.settings.rounds)
        alike = (unit(clip_centres) @ unit(word_centres).mT).mean(dim=-1)
        token = clip_centres[torch.arange(len(alike), device=alike.device), alike.argmax(dim=1)]
        fused = clips + walk(clips + self._near(clips, mask), word_centres, mask)
        whole, memory = self.encode(token, fused, position, mask)
        return Understood(whole, memory, fused, mean_of(self.sentence(read), words_mask))

    def _near(self, clips: Tensor, mask: Tensor) -> Tensor:
        """A linear map of each clip (B, L, d) and its two neighbours."""
        first, neighbours, last = self.local
        x = torch.where(mask[..., None], first(clips), 0.0)
        return last(neighbours(x.mT).mT)

    def terms(self, output: Prediction, inputs: Inputs, target: Target) -> dict[str, Tensor]:
        assert isinstance(output, UVCOMPrediction)
        similarity = (videos_loss(output.of_videos) + clips_loss(output.of_clips, target)) / 2
        return {**super().terms(output, inputs, target), "similarity": self.weights.similarity * similarity}


def unit(x: Tensor) -> Tensor:
    """Vectors at length one."""
    return x / (torch.linalg.vector_norm(x, dim=-1, keepdim=True) + 1e-9)


def centres(begin: Tensor, x: Tensor, mask: Tensor, rounds: int) -> Tensor:
    """Soft k-means of x (B, N, d), of which mask (B, N) is valid, from K centres (K, d): (B, K, d)."""
    found, directions = begin.expand(len(x), -1, -1), unit(x)
    for _ in range(rounds):
        centre = unit(found)
        # Less half the squared distance, but for what all centres share; without the differences (B, K, N, d).
        nearness = centre @ directions.mT - centre.pow(2).sum(dim=-1, keepdim=True) / 2
        share = (nearness / SPREAD**2).softmax(dim=1).masked_fill(~mask[:, None], 0.0)
        found = share @ x / (share.sum(dim=-1, keepdim=True) + 1e-9)
    return found


def walk(clips: Tensor, centres: Tensor, mask: Tensor) -> Tensor:
    """Clips (B, L, d) after a random walk between them and centres (B, K, d), in closed form.

    R = (1 − ω) (I − ω² zᵀ z̄)⁻¹ (ω zᵀ centres + clips), in which z are the shares of the centres in each clip and z̄
    those of the clips in each centre. The inverse is that of a K × K matrix (Woodbury).
    """
    with torch.autocast(clips.device.type, enabled=False):
        clips, centres = torch.where(mask[..., None], clips, 0.0).float(), centres.float()
        share = (SHARPNESS * unit(centres) @ unit(clips).mT).softmax(dim=1).masked_fill(~mask[:, None], 0.0)
        back = share / (share.sum(dim=-1, keepdim=True) + 1e-9)
        begin = WALK * share.mT @ centres + clips
        among = torch.eye(share.shape[1], device=share.device) - WALK**2 * back @ share.mT
        return (1 - WALK) * (begin + WALK**2 * share.mT @ torch.linalg.solve(among, back @ begin))


@torch.no_grad()
def least_alike(of_videos: Tensor, of_clips: Tensor) -> Tensor:
    """For each video the query (B,) that is least like it, by cosines (B, B) of its whole and of its mean clip."""
    return (of_videos.softmax(dim=1) + of_clips.softmax(dim=1)).argmin(dim=1)


def videos_loss(alike: Tensor) -> Tensor:
    """The contrast of videos and queries (B, B), both ways."""
    own = torch.arange(len(alike), device=alike.device)
    return (F.cross_entropy(alike, own) + F.cross_entropy(alike.T, own)) / 2


def clips_loss(alike: Tensor, target: Target) -> Tensor:
    """The contrast of each clip (B, L) of the first window with all clips, by the number of all."""
    share = alike.masked_fill(~target.mask, -torch.inf).log_softmax(dim=1)
    return -(torch.where(target.first, share, 0.0).sum(dim=1) / target.mask.sum(dim=1)).mean()
