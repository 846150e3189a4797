"""Checkpoints of the published UniVTG and FlashVTG."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from torch import Tensor

from src.models import published
from src.models.detr.published import RENAMES, UNUSED
from src.models.published import Published, Release, Weights, count

# Before those of the DETRs, whose encoders and input projections both have.
_UNIVTG = (
    (r"^class_embed\.layers\.", "foreground."),
    (r"^span_embed\.layers\.", "reach."),
    (r"^weightedpool\.", "pool."),
    (r"^token_type_embeddings\.weight$", "stream_types"),
)

_FLASH_VTG = (
    (r"^x$", "mix"),
    (r"^coef$", "level_scale"),
    (r"^dummy_rep_token$", "correlation.dummies"),
    (r"^dummy_rep_pos$", "correlation.dummy_position"),
    (r"^token_type_embeddings\.weight$", "correlation.stream_types"),
    (r"^txtproj_encoder\.layers\.", "correlation.dummy_encoder."),
    (r"^transformer\.t2v_encoder\.layers\.", "correlation.text_to_video."),
    (r"^pooling\.att\.", "pool."),
    (r"^coord_head\.module\.1\.", "distance.0."),
    (r"^coord_head\.module\.3\.", "distance.1."),
    (r"^class_head\.", "score."),
    (r"^conf_head\.", "context."),
    (r"^(score|context)\.convs\.", r"\1.convolutions."),
)


def _read(
    weights: Weights,
    predictor: str,
    renamed: Callable[[str], str],
    shaped: Callable[[str, Tensor], Tensor],
    settings: dict[str, Any],
) -> Published:
    """A network of a state dict: `renamed` and `shaped` say its weights, `settings` what its sizes do not."""
    names = {}
    for name in weights:
        if not name.startswith(UNUSED):
            ours = renamed(name)
            names[name] = ours if ours.startswith("embed_") else f"predictor.{ours}"
    width, hidden = weights["transformer.encoder.layers.0.linear1.weight"].shape
    layers = count(weights, r"transformer\.encoder\.layers\.(\d+)\.")
    return Published(
        predictor=predictor,
        settings={"hidden": hidden, "feed_forward": width, "layers": layers, **settings},
        video_dim=weights["input_vid_proj.0.net.1.weight"].shape[1] - 2,
        text_dim=weights["input_txt_proj.0.net.1.weight"].shape[1],
        weights={ours: shaped(name, weights[name].float()) for name, ours in names.items()},
        names=names,
    )


def _univtg(weights: Weights) -> Published:
    def renamed(name: str) -> str:
        return published.rename(name, (*_UNIVTG, *RENAMES))

    def shaped(name: str, weight: Tensor) -> Tensor:
        return weight.T if name == "weightedpool.weight" else weight

    return _read(weights, "univtg", renamed, shaped, {})


def _flash_vtg(weights: Weights) -> Published:
    def renamed(name: str) -> str:
        # Every block of a level, and every layer of a scorer, is a few places further on.
        name = re.sub(r"^(\w+_head)\.fc\.layers\.(\d+)", lambda at: f"{at[1]}.score.{2 * int(at[2])}", name)
        name = re.sub(
            r"^pyramid\.blocks\.(\d+)\.(\d+)",
            lambda at: f"pyramid.{at[1]}.{int(at[2]) // 5}.{'convolution' if int(at[2]) % 5 == 1 else 'norm'}",
            name,
        )
        return published.rename(name, (*_FLASH_VTG, *RENAMES))

    def shaped(name: str, weight: Tensor) -> Tensor:
        # Convolutions over time that stand as ones over an image of one row.
        return weight.squeeze(2) if weight.dim() == 4 else weight

    settings = {
        "dummy_layers": count(weights, r"txtproj_encoder\.layers\.(\d+)\."),
        "cross_layers": count(weights, r"transformer\.t2v_encoder\.layers\.(\d+)\."),
        "dummies": len(weights["dummy_rep_token"]),
        "levels": len(weights["coef"]),
        "kernel": weights["class_head.convs.0.weight"].shape[-1],
        "convolutions": count(weights, r"class_head\.convs\.(\d+)\."),
        "score_layers": count(weights, r"class_head\.fc\.layers\.(\d+)\."),
    }
    return _read(weights, "flash_vtg", renamed, shaped, settings)


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
FLASH_VTG = Release(
    "FlashVTG", ("coef", "dummy_rep_token", "pooling.att.weight", "class_head.convs.0.weight"), _flash_vtg
)
