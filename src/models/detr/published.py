"""Checkpoints of the published QD-DETR and Moment-DETR, under the names of `src.models.network.Network`."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from src.errors import UserError, reason

# Applied in order, each wherever it matches.
RENAMES: tuple[tuple[str, str], ...] = (
    (r"^transformer\.", ""),
    (r"^t2v_encoder\.layers\.", "text_to_video."),
    (r"^encoder\.layers\.", "encoder."),
    (r"\.linear1\.", ".feed_forward.0."),
    (r"\.activation\.", ".feed_forward.1."),
    (r"\.linear2\.", ".feed_forward.3."),
    (r"^(text_to_video|encoder)(\.\d+)\.self_attn\.", r"\1\2.attention."),
    (r"^(text_to_video|encoder)(\.\d+)\.norm1\.", r"\1\2.attention_norm."),
    (r"^(text_to_video|encoder)(\.\d+)\.norm2\.", r"\1\2.feed_forward_norm."),
    (r"^(decoder\.layers\.\d+)\.norm1\.", r"\1.self_norm."),
    (r"^(decoder\.layers\.\d+)\.norm2\.", r"\1.cross_norm."),
    (r"^(decoder\.layers\.\d+)\.norm3\.", r"\1.feed_forward_norm."),
    (r"\.self_attn\.", ".self_attention."),
    (r"\.(multihead_attn|cross_attn)\.", ".cross_attention."),
    (r"\.in_proj_(weight|bias)$", r".inputs.\1"),
    (r"\.out_proj\.", ".output."),
    (r"\.sa_", ".self_attention."),
    (r"\.ca_", ".cross_attention."),
    (r"\.qcontent_proj\.", ".query_content."),
    (r"\.kcontent_proj\.", ".key_content."),
    (r"\.qpos_sine_proj\.", ".query_code."),
    (r"\.qpos_proj\.", ".query_position."),
    (r"\.kpos_proj\.", ".key_position."),
    (r"\.v_proj\.", ".value."),
    (r"^decoder\.ref_point_head\.", "decoder.position."),
    (r"^decoder\.query_scale\.", "decoder.code_scale."),
    (r"^decoder\.ref_anchor_head\.", "decoder.reference_width."),
    (r"^decoder\.bbox_embed\.", "decoder.move."),
    (r"^span_embed\.", "span."),
    (r"^(span|decoder\.(?:position|code_scale|reference_width|move))\.layers\.0\.", r"\1.0."),
    (r"^(span|decoder\.(?:position|code_scale|reference_width|move))\.layers\.1\.", r"\1.2."),
    (r"^(span|decoder\.(?:position|code_scale|reference_width|move))\.layers\.2\.", r"\1.4."),
    (r"^query_embed\.weight$", "queries"),
    (r"^class_embed\.", "label."),
    (r"^saliency_proj\.", "saliency."),
    (r"^saliency_proj1\.", "clip_saliency."),
    (r"^saliency_proj2\.", "global_saliency."),
    (r"^global_rep_token$", "global_token"),
    (r"^global_rep_pos$", "global_position"),
    (r"^input_vid_proj\.", "embed_video.projection."),
    (r"^input_txt_proj\.", "embed_query.projection."),
    (r"\.projection\.0\.LayerNorm\.", ".projection.0."),
    (r"\.projection\.0\.net\.1\.", ".projection.2."),
    (r"\.projection\.1\.LayerNorm\.", ".projection.4."),
    (r"\.projection\.1\.net\.1\.", ".projection.6."),
)

# Parts that the published settings leave unused: a trained position of words, and a contrastive loss.
UNUSED = ("txt_position_embed.", "contrastive_align_projection_")


def rename(name: str) -> str:
    """Our name of a published parameter."""
    for pattern, replacement in RENAMES:
        name = re.sub(pattern, replacement, name)
    return name if name.startswith("embed_") else f"predictor.{name}"


@dataclass(frozen=True)
class Published:
    """A published network.

    Attributes:
        predictor: the name of its config, `qd_detr` or `moment_detr`.
        sizes: The sizes of its layers, by the names of the predictor's settings.
        video_dim, text_dim: The sizes of the features it reads; the clip's start and end, which it is given beside, are
            not counted.
        weights: by our names, float32.
    """

    predictor: str
    sizes: dict[str, int]
    video_dim: int
    text_dim: int
    weights: dict[str, Tensor]


def read_published(path: Path) -> Published:
    """Read a checkpoint of the published QD-DETR or Moment-DETR without running code from it.

    Args:
        path: .ckpt, .pt, .pth (the state dict, or a dictionary that holds it as `model` or `state_dict`), .safetensors
            or .npz.

    Raises:
        UserError: there is no such file, it cannot be read safely, or it is of another network.
    """
    weights = _read(path)
    expected = (
        "class_embed.weight",
        "query_embed.weight",
        "input_vid_proj.0.net.1.weight",
        "input_txt_proj.0.net.1.weight",
    )
    missing = [name for name in expected if name not in weights]
    if missing:
        raise UserError(f"{path} is no checkpoint of QD-DETR or Moment-DETR: it has no {missing[0]}")
    layers = {match[1] for name in weights if (match := re.match(r"transformer\.encoder\.layers\.(\d+)\.", name))}
    return Published(
        predictor="qd_detr" if "global_rep_token" in weights else "moment_detr",
        sizes={
            "hidden": weights["class_embed.weight"].shape[1],
            "queries": weights["query_embed.weight"].shape[0],
            "feed_forward": weights["transformer.encoder.layers.0.linear1.weight"].shape[0],
            "layers": len(layers),
        },
        video_dim=weights["input_vid_proj.0.net.1.weight"].shape[1] - 2,
        text_dim=weights["input_txt_proj.0.net.1.weight"].shape[1],
        weights={rename(name): weight.float() for name, weight in weights.items() if not name.startswith(UNUSED)},
    )


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}: give convert_checkpoint the file that the authors published")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                names = [name for name in file.files if name.startswith("weight/")]
                return {name.removeprefix("weight/"): torch.from_numpy(file[name]) for name in names or file.files}
        # The authors' checkpoints carry their command line; its class only holds values.
        with torch.serialization.safe_globals([argparse.Namespace]):
            saved = torch.load(path, map_location="cpu", weights_only=True)
        saved = saved.get("model", saved.get("state_dict", saved))
        return {name: value for name, value in saved.items() if isinstance(value, Tensor)}
    except Exception as error:
        raise UserError(
            f"{path} cannot be read without running code from it, or is damaged ({reason(error)})"
        ) from error
