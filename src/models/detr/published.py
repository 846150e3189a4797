"""Checkpoints of the published DETRs, under the names of `src.models.network.Network`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from src.errors import UserError, reason

Weights = Mapping[str, Tensor]

# Applied in order, each wherever it matches, after those of a network itself.
RENAMES: tuple[tuple[str, str], ...] = (
    (r"^transformer\.", ""),
    (r"^t2v_encoder\.layers\.", "text_to_video."),
    (r"^encoder\.layers\.", "encoder."),
    (r"\.linear1\.", ".feed_forward.0."),
    (r"\.activation\.", ".feed_forward.1."),
    (r"\.linear2\.", ".feed_forward.3."),
    (r"^(?!decoder)(\w+\.\d+)\.self_attn\.", r"\1.attention."),
    (r"^(?!decoder)(\w+\.\d+)\.norm1\.", r"\1.attention_norm."),
    (r"^(?!decoder)(\w+\.\d+)\.norm2\.", r"\1.feed_forward_norm."),
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
    (r"^(?!decoder\.layers)(.+)\.layers\.0\.(weight|bias)$", r"\1.0.\2"),
    (r"^(?!decoder\.layers)(.+)\.layers\.1\.(weight|bias)$", r"\1.2.\2"),
    (r"^(?!decoder\.layers)(.+)\.layers\.2\.(weight|bias)$", r"\1.4.\2"),
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


def size(name: str, axis: int) -> Callable[[Weights], int]:
    """The size of a published parameter along an axis."""
    return lambda weights: weights[name].shape[axis]


def count(stack: str) -> Callable[[Weights], int]:
    """The number of layers of a published stack."""
    return lambda weights: len({name.split(".")[stack.count(".") + 2] for name in weights if name.startswith(f"{stack}.")})


SIZES: dict[str, Callable[[Weights], int]] = {
    "hidden": size("class_embed.weight", 1),
    "queries": size("query_embed.weight", 0),
    "feed_forward": size("transformer.encoder.layers.0.linear1.weight", 0),
    "layers": count("transformer.encoder"),
}


@dataclass(frozen=True)
class Kind:
    """A network that was published.

    Attributes:
        predictor: the name of its config.
        mark: a parameter that none of those after it has.
        renames: as `RENAMES`, and before them.
        unused: how the names of parameters begin that take part in nothing.
        sizes: what it has beside `SIZES`, or elsewhere, by the names of the predictor's settings.
    """

    predictor: str
    mark: str
    renames: tuple[tuple[str, str], ...] = ()
    unused: tuple[str, ...] = ()
    sizes: dict[str, Callable[[Weights], int]] = field(default_factory=dict)

    def rename(self, name: str) -> str | None:
        """Our name of a published parameter; None where it takes part in nothing."""
        if name.startswith((*UNUSED, *self.unused)):
            return None
        for pattern, replacement in (*self.renames, *RENAMES):
            name = re.sub(pattern, replacement, name)
        return name if name.startswith("embed_") else f"predictor.{name}"


KINDS = (
    Kind(
        "cg_detr",
        mark="dummy_rep_token",
        renames=(
            (r"^token_type_embeddings\.weight$", "stream_types"),
            (r"^global_rep_token$", "prompts"),
            (r"^dummy_rep_token$", "dummies"),
            (r"^dummy_rep_pos$", "dummy_position"),
            (r"^(sent|moment)_rep_token$", r"\1_token"),
            (r"^(sent|moment)_rep_pos$", r"\1_position"),
            (r"^sent_", "sentence_"),
            (r"^txtproj_encoder\.layers\.", "dummy_encoder."),
            (r"^scls_encoder\.layers\.", "sentence_encoder."),
            (r"^transformer\.mcls_encoder\.layers\.", "moment_encoder."),
        ),
        unused=("txt_proj_linear.",),
        sizes={
            "cross_layers": count("transformer.t2v_encoder"),
            "dummies": size("dummy_rep_token", 0),
            "prompts": size("global_rep_token", 0),
        },
    ),
    Kind("qd_detr", mark="global_rep_token"),
    Kind("moment_detr", mark="class_embed.weight"),
)
"""The first whose mark a checkpoint has is its network."""


@dataclass(frozen=True)
class Published:
    """A published network.

    Attributes:
        kind: which it is.
        sizes: The sizes of its layers, by the names of the predictor's settings.
        video_dim, text_dim: The sizes of the features it reads; the clip's start and end, which it is given beside, are
            not counted.
        weights: by our names, float32.
    """

    kind: Kind
    sizes: dict[str, int]
    video_dim: int
    text_dim: int
    weights: dict[str, Tensor]


def read_published(path: Path) -> Published:
    """Read a checkpoint of a published DETR without running code from it.

    Args:
        path: .ckpt, .pt, .pth (the state dict, or a dictionary that holds it as `model` or `state_dict`), .safetensors
            or .npz.

    Raises:
        UserError: there is no such file, it cannot be read safely, or it is of another network.
    """
    weights = _read(path)
    expected = ("class_embed.weight", "input_vid_proj.0.net.1.weight", "input_txt_proj.0.net.1.weight")
    missing = [name for name in expected if name not in weights]
    if missing:
        raise UserError(f"{path} is no checkpoint of a DETR that is known here: it has no {missing[0]}")
    kind = next(kind for kind in KINDS if kind.mark in weights)
    try:
        sizes = {name: measure(weights) for name, measure in {**SIZES, **kind.sizes}.items()}
    except KeyError as error:
        raise UserError(f"{path} is no checkpoint of {kind.predictor}: it has no {error.args[0]}") from error
    return Published(
        kind=kind,
        sizes=sizes,
        video_dim=weights["input_vid_proj.0.net.1.weight"].shape[1] - 2,
        text_dim=weights["input_txt_proj.0.net.1.weight"].shape[1],
        weights={ours: _shaped(ours, weight) for name, weight in weights.items() if (ours := kind.rename(name))},
    )


def _shaped(name: str, weight: Tensor) -> Tensor:
    """A published weight in the shape of ours."""
    if name == "predictor.global_position":
        return weight.float().flatten()
    return weight.float()


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
