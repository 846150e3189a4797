"""LGI: Local-Global Video-Text Interactions for Temporal Grounding (Mun et al., CVPR 2020)."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.data.batch import GroundTruth, Inputs
from src.models.attention import AdditiveAttention, attend
from src.models.dropout import Dropout
from src.models.normalisation import MaskedBatchNorm
from src.models.position import LearnedCode
from src.models.predictor import Predictor, Stream, Streams
from src.models.words import WordStates, sentence
from src.moments import RankedMoments


@dataclass
class LGIOutput:
    """What LGI says of a batch: N phrases, T clips, Q words.

    Attributes:
        location: (B, 2) start and end as shares of the video, as they were regressed; None of a paragraph branch.
        attention: (B, T) how much each clip counts, zero at padding.
        clips: (B, T, d) what is attended to.
        phrases: (B, N, Q) each how much its phrases attend to each word: of the video, and of a paragraph branch.
        mask: (B, T).
    """

    location: Tensor | None
    attention: Tensor
    clips: Tensor
    phrases: tuple[Tensor, ...]
    mask: Tensor


@dataclass(frozen=True, kw_only=True)
class LGISettings:
    """The settings of an `LGI`.

    Attributes:
        hidden: d, of clips and words; even.
        attention: Width within the additive attentions.
        phrases: N, the semantic phrases of a query.
        kernel: Clips that each convolution of the local context sees; odd.
        blocks: Of the global context.
        heads: Of each of them; they divide d.
        dropout: Of clips and their places, and between the LSTM's layers.
        places: Clips that have learned places of their own.
        output: What the regressed shares go through: `relu` or `sigmoid`.
        distinct: λ, how much phrases may share words.
    """

    hidden: int
    attention: int
    phrases: int
    kernel: int
    blocks: int
    heads: int
    dropout: float
    places: int
    output: Literal["relu", "sigmoid"]
    distinct: float

    def build(self) -> LGI:
        return LGI(self)


class ClipEmbedding(nn.Module):
    """dropout(ReLU(FC(features)))."""

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, hidden)
        self.dropout = Dropout(dropout)

    def forward(self, features: Tensor, mask: Tensor, inputs: Inputs) -> Tensor:
        """features (B, T, dim) to (B, T, hidden); nothing else plays a part."""
        return self.dropout(self.linear(features).relu())


class Phrases(nn.Module):
    """The semantic phrases of a query, one after another, each guided by the sentence and the phrase before."""

    def __init__(self, dim: int, attention: int, phrases: int) -> None:
        super().__init__()
        self.sentence = nn.ModuleList(nn.Linear(dim, dim) for _ in range(phrases))
        self.guide = nn.Linear(2 * dim, dim)
        self.attention = AdditiveAttention(dim, attention, key_dim=dim, bias=True)

    def forward(self, words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Words (B, Q, d), of which mask (B, Q) is valid, to phrases (B, N, d) and their attention (B, N, Q)."""
        whole = sentence(words, mask)
        phrase, phrases, weights = torch.zeros_like(whole), [], []
        for linear in self.sentence:
            guide = self.guide(torch.cat((linear(whole), phrase), dim=-1)).relu()
            weight = self.attention(words, mask, guide[:, None])
            phrase = (weight @ words.masked_fill(~mask[..., None], 0.0)).squeeze(1)
            phrases.append(phrase)
            weights.append(weight.squeeze(1))
        return torch.stack(phrases, dim=1), torch.stack(weights, dim=1)


class Fusion(nn.Module):
    """ReLU(FC(ReLU(FC(v)) ⊙ ReLU(FC(e)))) of each clip v with a phrase e."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.clip = nn.Linear(dim, dim)
        self.phrase = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, dim)

    def forward(self, clips: Tensor, phrase: Tensor) -> Tensor:
        """Clips (B, T, d) and a phrase (B, d) to (B, T, d)."""
        return self.output(self.clip(clips).relu() * self.phrase(phrase).relu()[:, None]).relu()


class LocalContext(nn.Module):
    """ReLU(m + BN(Conv(ReLU(BN(Conv(m)))))), over `kernel` clips, of which those in padding are zero."""

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv1d(dim, dim, kernel, padding=kernel // 2, bias=False) for _ in range(2)
        )
        self.norms = nn.ModuleList(MaskedBatchNorm(dim) for _ in range(2))

    def forward(self, clips: Tensor, mask: Tensor) -> Tensor:
        """Clips (B, T, d), of which mask (B, T) is valid; gives (B, T, d)."""
        (first, second), (norm, other) = self.convolutions, self.norms
        seen = norm(first(clips.masked_fill(~mask[..., None], 0.0).mT).mT, mask).relu()
        return (clips + other(second(seen.mT).mT, mask)).relu()


class GlobalContext(nn.Module):
    """r + attention(r), without a projection of its output."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key_and_value = nn.Linear(dim, 2 * dim)

    def forward(self, clips: Tensor, mask: Tensor) -> Tensor:
        """Clips (B, T, d), of which mask (B, T) is valid; gives (B, T, d)."""
        key, value = self.key_and_value(clips).chunk(2, dim=-1)
        return clips + attend(self.query(clips), key, value, mask, self.heads)


class LGI(Predictor[LGIOutput]):
    """Clips meet each phrase of the query, then each other near and far, and one moment is regressed of them."""

    def __init__(self, settings: LGISettings, locates: bool = True) -> None:
        super().__init__()
        self.settings = settings
        dim = self.hidden = settings.hidden
        self.position = LearnedCode(settings.places, dim)
        self.dropout = Dropout(settings.dropout)
        self.phrases = Phrases(dim, settings.attention, settings.phrases)
        self.fusion = nn.ModuleList(_copies(Fusion(dim), settings.phrases))
        self.local = nn.ModuleList(_copies(LocalContext(dim, settings.kernel), settings.phrases))
        self.weigh = AdditiveAttention(dim, settings.attention)
        self.whole = nn.ModuleList(_copies(GlobalContext(dim, settings.heads), settings.blocks))
        self.focus = AdditiveAttention(dim, settings.attention)
        self.summary = nn.Linear(dim, dim) if locates else None
        self.locate = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 2)) if locates else None

    def embedding(self, dim: int, stream: Stream) -> nn.Module:
        if stream == "query":
            return WordStates(dim, self.hidden // 2, 2, self.settings.dropout)
        return ClipEmbedding(dim, self.hidden, self.settings.dropout)

    def forward(self, streams: Streams) -> LGIOutput:
        mask = streams.video_mask
        clips = streams.video + self.dropout(self.position(mask.shape[1]).relu())
        clips = clips.masked_fill(~mask[..., None], 0.0)
        phrases, attention = self.phrases(streams.query, streams.query_mask)
        with_phrases = [
            local(fusion(clips, phrase), mask)
            for local, fusion, phrase in zip(self.local, self.fusion, phrases.unbind(dim=1), strict=True)
        ]
        clips = (self.weigh(phrases) @ torch.stack(with_phrases, dim=1).flatten(2)).view_as(clips)
        for block in self.whole:
            clips = block(clips, mask)
        return self._located(LGIOutput(None, self.focus(clips, mask).squeeze(1), clips, (attention,), mask))

    def _located(self, output: LGIOutput) -> LGIOutput:
        """The output with the location that is regressed of what it attends to."""
        if self.summary is None or self.locate is None:
            return output
        clips = output.clips.masked_fill(~output.mask[..., None], 0.0)
        location = self.locate(self.summary((output.attention[:, None] @ clips).squeeze(1)))
        return replace(output, location=location.relu() if self.settings.output == "relu" else location.sigmoid())

    def sibling(self) -> LGI:
        return LGI(self.settings, locates=False)

    def fuse(self, video: LGIOutput, paragraph: LGIOutput, alpha: float) -> LGIOutput:
        """The attentions' weighted mean, by which the video's clips are attended to and the moment regressed."""
        attention = (video.attention + alpha * paragraph.attention) / (1 + alpha)
        return self._located(replace(video, attention=attention, phrases=video.phrases + paragraph.phrases))

    def losses(self, output: LGIOutput, inputs: Inputs, truth: GroundTruth, progress: float) -> dict[str, Tensor]:
        assert output.location is not None
        target = truth.taught(inputs.length) / truth.duration[:, None]
        inside = attention_labels(target, output.mask)
        heard = -(inside * (output.attention + 1e-8).log()).sum(dim=1) / inside.sum(dim=1)
        same = self.settings.distinct * torch.eye(self.settings.phrases, device=inside.device)
        shared = [((each @ each.mT - same) ** 2).sum(dim=(1, 2)).mean() for each in output.phrases]
        return {
            "location": 2 * F.smooth_l1_loss(output.location, target),
            "attention": heard.mean(),
            "distinct": torch.stack(shared).sum(),
        }

    def decode(self, output: LGIOutput, inputs: Inputs, top: int) -> RankedMoments:
        assert output.location is not None
        start, end = output.location.float().clamp(0, 1).unbind(dim=-1)
        windows = torch.stack((start, end.maximum(start)), dim=-1) * inputs.duration[:, None]
        scores = torch.ones_like(start)[:, None]
        return RankedMoments.of(windows[:, None], scores, inputs.length, output.attention.float())


def attention_labels(target: Tensor, mask: Tensor) -> Tensor:
    """(B, T) 1 on the clips to attend to: from start to end (B, 2), shares of the video, to the nearest edges, and one
    clip further where there is one."""
    count = mask.sum(dim=1)
    start, end = (target * count[:, None]).round().long().unbind(dim=-1)
    start = start.minimum(count - 1)
    position = torch.arange(mask.shape[1], device=mask.device)
    inside = (position >= start[:, None]) & (position <= end.maximum(start + 1)[:, None])
    return (inside & mask).float()


def _copies(module: nn.Module, count: int) -> Iterator[nn.Module]:
    """Modules that start with the same weights."""
    return (deepcopy(module) for _ in range(count))
