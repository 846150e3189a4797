"""Checkpoints of the published UniVTG."""

from __future__ import annotations

from src.models import published
from src.models.detr.published import RENAMES, UNUSED
from src.models.published import Published, Release, Weights, count

# Before those of the DETRs, whose encoder and input projections it has.
_UNIVTG = (
    (r"^class_embed\.layers\.", "foreground."),
    (r"^span_embed\.layers\.", "reach."),
    (r"^weightedpool\.", "pool."),
    (r"^token_type_embeddings\.weight$", "stream_types"),
)


def rename_univtg(name: str) -> str:
    """Our name of a published parameter of UniVTG."""
    name = published.rename(name, (*_UNIVTG, *RENAMES))
    return name if name.startswith("embed_") else f"predictor.{name}"


def _univtg(weights: Weights) -> Published:
    ours = {rename_univtg(name): weight.float() for name, weight in weights.items() if not name.startswith(UNUSED)}
    ours["predictor.pool.weight"] = ours["predictor.pool.weight"].T
    width, hidden = weights["transformer.encoder.layers.0.linear1.weight"].shape
    return Published(
        predictor="univtg",
        settings={
            "hidden": hidden,
            "feed_forward": width,
            "layers": count(weights, r"transformer\.encoder\.layers\.(\d+)\."),
        },
        video_dim=weights["input_vid_proj.0.net.1.weight"].shape[1] - 2,
        text_dim=weights["input_txt_proj.0.net.1.weight"].shape[1],
        weights=ours,
    )


UNIVTG = Release(
    "UniVTG",
    (
        "weightedpool.weight",
        "class_embed.layers.0.weight",
        "span_embed.layers.0.weight",
        "token_type_embeddings.weight",
    ),
    _univtg,
)
