"""What is found in a collection, and the forms in which it is handed on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from src.retrieval.retriever import Told


@dataclass(frozen=True)
class Hit:
    """A moment of a video: start and end in seconds, and why it was found.

    Attributes:
        video: The video's id.
        start: Seconds.
        end: Seconds.
        probability: That this is the moment that is asked for: calibrated, and comparable between videos.
        because: The narrative of the moment that speaks for it most.
        narratives: All that is told within it.
    """

    video: str
    start: float
    end: float
    probability: float
    because: Told
    narratives: tuple[Told, ...]


def record(sentence: str, hits: Sequence[Hit]) -> dict[str, Any]:
    """What was found for a sentence as JSON can say it: {"query", "moments"}, seconds to a hundredth."""
    moments = []
    for hit in hits:
        told = [{"time": each.time, "text": each.text} for each in hit.narratives]
        because = {"time": hit.because.time, "text": hit.because.text}
        rounded = {"start": round(hit.start, 2), "end": round(hit.end, 2), "probability": round(hit.probability, 4)}
        moments.append({"video": hit.video, **rounded, "because": because, "narratives": told})
    return {"query": sentence, "moments": moments}


def lighthouse(moments: Sequence[tuple[float, float, float]], saliency: Sequence[float]) -> dict[str, Any]:
    """An answer in the form of lighthouse's predictors (Nishimura et al., EMNLP 2024): `pred_relevant_windows`, each
    [start, end, score], best first, and `pred_saliency_scores`, one a clip.

    Args:
        moments: (start, end, score) in seconds.
        saliency: A score for each clip.
    """
    windows = [[start, end, round(score, 4)] for start, end, score in sorted(moments, key=lambda each: -each[2])]
    return {"pred_relevant_windows": windows, "pred_saliency_scores": list(saliency)}
