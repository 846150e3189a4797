"""Checkpoints of the published DETRs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from src.models import published
from src.models.published import Published, Release, Weights

# Applied in order, each wherever it matches, after those of a network itself.
RENAMES: tuple[tuple[str, str], ...] = (
    (r"^transformer\.", ""),
    (r"^t2v_encoder\.layers\.", "text_to_video."),
    (r"^encoder\.layers\.", "encoder."),
    (r"\.linear1\.", ".feed_forward.0."),
    (r"\.activation\.", ".feed_forward.1."),
    (r"\.linear2\.", ".feed_forward.3."),
    (r"^(?!decoder)([\w.]+\.\d+)\.self_attn\.", r"\1.attention."),
    (r"^(?!decoder)([\w.]+\.\d+)\.norm1\.", r"\1.attention_norm."),
    (r"^(?!decoder)([\w.]+\.\d+)\.norm2\.", r"\1.feed_forward_norm."),
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
    return lambda weights: published.count(weights, rf"{re.escape(stack)}\.layers\.(\d+)\.")


SIZES: dict[str, Callable[[Weights], int]] = {
    "hidden": size("class_embed.weight", 1),
    "queries": size("query_embed.weight", 0),
    "feed_forward": size("transformer.encoder.layers.0.linear1.weight", 0),
    "layers": count("transformer.encoder"),
}


@dataclass(frozen=True)
class Kind:
    """A DETR that was published.

    Attributes:
        predictor: the name of its config.
        network: its name in its paper.
        mark: a parameter that none of those after it has.
        renames: as `RENAMES`, and before them.
        unused: how the names of parameters begin that take part in nothing.
        sizes: what it has beside `SIZES`, or elsewhere, by the names of the predictor's settings.
    """

    predictor: str
    network: str
    mark: str
    renames: tuple[tuple[str, str], ...] = ()
    unused: tuple[str, ...] = ()
    sizes: dict[str, Callable[[Weights], int]] = field(default_factory=dict)

    def rename(self, name: str) -> str | None:
        """Our name of a published parameter; None where it takes part in nothing."""
        if name.startswith((*UNUSED, *self.unused)):
            return None
        name = published.rename(name, (*self.renames, *RENAMES))
        return name if name.startswith("embed_") else f"predictor.{name}"

    def read(self, weights: Weights) -> Published:
        """The network of a published state dict."""
        return Published(
            predictor=self.predictor,
            settings={name: measure(weights) for name, measure in {**SIZES, **self.sizes}.items()},
            video_dim=weights[_VIDEO].shape[1] - 2,
            text_dim=weights[_WORDS].shape[1],
            weights={ours: _shaped(ours, weight) for name, weight in weights.items() if (ours := self.rename(name))},
        )


_VIDEO, _WORDS = "input_vid_proj.0.net.1.weight", "input_txt_proj.0.net.1.weight"


def _shaped(name: str, weight: Tensor) -> Tensor:
    """A published weight in the shape of ours."""
    weight = weight.float()
    return weight.flatten() if name == "predictor.global_position" else weight


KINDS = (
    Kind(
        "cg_detr",
        "CG-DETR",
        mark="dummy_rep_token",
        renames=(
            (r"^token_type_embeddings\.weight$", "correlation.stream_types"),
            (r"^global_rep_token$", "prompts"),
            (r"^dummy_rep_token$", "correlation.dummies"),
            (r"^dummy_rep_pos$", "correlation.dummy_position"),
            (r"^(sent|moment)_rep_token$", r"\1_token"),
            (r"^(sent|moment)_rep_pos$", r"\1_position"),
            (r"^sent_", "sentence_"),
            (r"^txtproj_encoder\.layers\.", "correlation.dummy_encoder."),
            (r"^transformer\.t2v_encoder\.layers\.", "correlation.text_to_video."),
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
    Kind("qd_detr", "QD-DETR", mark="global_rep_token"),
    Kind("moment_detr", "Moment-DETR", mark="query_embed.weight"),
)
"""The first whose mark a checkpoint has is its network."""

RELEASES = [Release(kind.network, (kind.mark, "class_embed.weight", _VIDEO, _WORDS), kind.read) for kind in KINDS]
