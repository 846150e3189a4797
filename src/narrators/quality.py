"""How good narratives are: how varied they are, how much of what is asked they mention, and whether they mention it in
the right place (the semantic completeness, diversity and grounding that the paper speaks of and does not measure)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from statistics import fmean
from typing import NamedTuple

import numpy as np
from nltk.stem import PorterStemmer
from numpy.typing import NDArray
from scipy.stats import rankdata

from src.data.records import Moment, Narratives, Window
from src.text.tokens import words

# Two sets of words are near-identical from this Jaccard index (shared words over all words) on.
NEAR_IDENTICAL = 0.9

# English words without content of their own: they say nothing of what is seen.
_LISTED = """
    a about above across after again against all along also am among an and another any anyone anything are around
    as at away back be because been before behind being below beside besides between beyond both but by can cannot
    could did do does doing done down during each either else etc even ever every everyone everything few for from
    had has have having he her here hers herself him himself his how however i if in inside into is it its itself
    just let like many may me might mine more most much must my myself near neither next no nobody none nor not
    nothing now of off often on once one only onto or other others otherwise our ours ourselves out outside over own
    per perhaps rather same several shall she should since so some somebody someone something sometimes somewhere
    still such than that the their theirs them themselves then there these they this those though through throughout
    till to together too toward towards under until up upon us very via was we well were what whatever when where
    whether which while who whole whom whose why will with within without would yet you your yours yourself s t d ll
    m re ve n't 's 'd 'll 'm 're 've ca wo
"""
_FUNCTION_WORDS = frozenset(_LISTED.split())
_WORD = re.compile(r"\w")


@dataclass(frozen=True)
class Variety:
    """What a narratives file holds, whatever it is about.

    Attributes:
        videos, narratives: The number of videos, and of narratives.
        words: The mean number of words of a narrative, punctuation marks not counted.
        vocabulary: The number of different words, in lower case.
        distinct_1, distinct_2: Different words over all words, and different pairs of words that follow each other over
            all such pairs (Li et al. 2016).
        repeated: The share of narratives nearly identical to the one before (`NEAR_IDENTICAL`).
    """

    videos: int
    narratives: int
    words: float
    vocabulary: int
    distinct_1: float
    distinct_2: float
    repeated: float


@dataclass(frozen=True)
class Grounding:
    """How narratives fit the queries of a split.

    Attributes:
        split: The split's name.
        queries: The number of queries whose video has narratives.
        mentioned: The share of the queries' content words that the narratives of the video mention, inflected or not.
        novel: The number of novel words or compositions that the split names.
        novel_mentioned: The share of them that the narratives of the video mention; all words of a composition count.
        placed: The number of queries with narratives both inside their moment and outside.
        closer: How much higher the cosine similarity to the query is inside the moment than outside, mean over them.
        auc: The probability that a narrative inside is closer to the query than one outside (ties count half), mean
            over them.
    """

    split: str
    queries: int
    mentioned: float
    novel: int
    novel_mentioned: float
    placed: int
    closer: float
    auc: float


class Closeness(NamedTuple):
    """A moment, the `times` (n,) in seconds of its video's narratives, and their `similarities` (n,) to its query."""

    moment: Moment
    times: NDArray[np.float64]
    similarities: NDArray[np.float64]


def variety(videos: Iterable[Narratives]) -> Variety:
    """Count what is in narratives; each video is looked at once."""
    count = narratives = total = pairs = neighbours = repeated = 0
    vocabulary: dict[str, int] = {}
    different_pairs: set[tuple[int, int]] = set()
    for video in videos:
        count += 1
        before: set[int] | None = None
        for text in video.texts:
            numbers = [vocabulary.setdefault(word, len(vocabulary)) for word in _spoken(text)]
            following = list(pairwise(numbers))
            narratives, total, pairs = narratives + 1, total + len(numbers), pairs + len(following)
            different_pairs.update(following)
            here = set(numbers)
            if before is not None:
                neighbours += 1
                repeated += jaccard(before, here) >= NEAR_IDENTICAL
            before = here
    return Variety(
        count,
        narratives,
        _share(total, narratives),
        len(vocabulary),
        _share(len(vocabulary), total),
        _share(len(different_pairs), pairs),
        _share(repeated, neighbours),
    )


def jaccard(one: set[int], other: set[int]) -> float:
    """Shared elements over all elements; 1 for two empty sets."""
    return len(one & other) / len(one | other) if one or other else 1.0


def content_words(text: str) -> list[str]:
    """The stems of the words of `text` that say what is seen.

    >>> content_words("The person isn't opening the doors.")
    ['person', 'open', 'door']
    """
    return [_stem(word) for word in _spoken(text) if word not in _FUNCTION_WORDS]


def mentions(video: Narratives) -> frozenset[str]:
    """The stems of all words that the narratives of a video use."""
    return frozenset(_stem(word) for text in video.texts for word in _spoken(text))


def ground(split: str, closeness: Sequence[Closeness], mentioned: Mapping[str, frozenset[str]]) -> Grounding:
    """Measure the narratives of a split's videos against its queries.

    Args:
        split: The split's name.
        closeness: The closeness of each moment whose video has narratives.
        mentioned: The `mentions` of each video.
    """
    moments = [each.moment for each in closeness]
    asked = [word in mentioned[moment.video] for moment in moments for word in content_words(moment.query)]
    novel = [
        all(_stem(word) in mentioned[moment.video] for word in _spoken(text))
        for moment in moments
        for _, text in moment.novel
    ]
    placed = list(_placed(closeness))
    return Grounding(
        split,
        len(moments),
        _share(sum(asked), len(asked)),
        len(novel),
        _share(sum(novel), len(novel)),
        len(placed),
        fmean(difference for difference, _ in placed) if placed else float("nan"),
        fmean(auc for _, auc in placed) if placed else float("nan"),
    )


def cosine(narratives: NDArray[np.float64], query: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) similarities of (n, dim) to (dim,), in [-1, 1]; 0 for a vector without length."""
    lengths = np.linalg.norm(narratives, axis=1) * np.linalg.norm(query)
    return np.divide(narratives @ query, lengths, out=np.zeros(len(narratives)), where=lengths > 0)


def discriminability(values: NDArray[np.float64], inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Mean of `values` (n,) `inside` (n,) less the mean outside, and the area under the ROC curve; both must occur."""
    count = int(inside.sum())
    ranks = rankdata(values)[inside].sum()
    auc = (ranks - count * (count + 1) / 2) / (count * (len(values) - count))
    return float(values[inside].mean() - values[~inside].mean()), float(auc)


def within(times: NDArray[np.float64], windows: Sequence[Window]) -> NDArray[np.bool_]:
    """Which of `times` (n,) lie in any of `windows`, ends included."""
    inside = np.zeros(len(times), bool)
    for start, end in windows:
        inside |= (start <= times) & (times <= end)
    return inside


def _placed(closeness: Iterable[Closeness]) -> Iterator[tuple[float, float]]:
    for each in closeness:
        inside = within(each.times, each.moment.windows)
        if inside.any() and not inside.all():
            yield discriminability(each.similarities, inside)


@lru_cache(maxsize=8192)  # a video's narratives are gone through more than once
def _spoken(text: str) -> tuple[str, ...]:
    return tuple(word for word in words(text) if _WORD.search(word))


@cache
def _stem(word: str) -> str:
    return PorterStemmer().stem(word)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
