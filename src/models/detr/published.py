"""Checkpoints of the published DETRs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
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
        shapes: What makes a published weight one of ours where it stands otherwise, by our name.
        sizes: what it has beside `SIZES`, or elsewhere, by the names of the predictor's settings.
    """

    predictor: str
    network: str
    mark: str
    renames: tuple[tuple[str, str], ...] = ()
    unused: tuple[str, ...] = ()
    shapes: dict[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    sizes: dict[str, Callable[[Weights], int]] = field(default_factory=dict)

    def rename(self, name: str) -> str | None:
        """Our name of a published parameter; None where it takes part in nothing."""
        if name.startswith((*UNUSED, *self.unused)):
            return None
        name = published.rename(name, (*self.renames, *RENAMES))
        return name if name.startswith("embed_") else f"predictor.{name}"

    def read(self, weights: Weights) -> Published:
        """The network of a published state dict."""
        names = {name: ours for name in weights if (ours := self.rename(name)) is not None}
        return Published(
            predictor=self.predictor,
            settings={name: measure(weights) for name, measure in {**SIZES, **self.sizes}.items()},
            video_dim=weights[_VIDEO].shape[1] - 2,
            text_dim=weights[_WORDS].shape[1],
            weights={ours: self._shaped(ours, weights[name]).float() for name, ours in names.items()},
            names=names,
        )

    def _shaped(self, name: str, weight: Tensor) -> Tensor:
        """A published weight in the shape of ours, whose name is given."""
        shape = self.shapes.get(name.removeprefix("predictor."))
        return weight if shape is None else shape(weight)


def _row(weight: Tensor) -> Tensor:
    """A vector (d, 1) or (1, 1, d) as (1, d)."""
    return weight.reshape(1, -1)


def _value(weight: Tensor) -> Tensor:
    """The value's part of the stacked input projections of an attention."""
    return weight.chunk(3)[2]


def _first(weight: Tensor) -> Tensor:
    return weight[:1]


def _kernel(weight: Tensor) -> Tensor:
    """The weight (out, in, 1) of a convolution over one clip as a matrix."""
    return weight.squeeze(-1)


_VIDEO, _WORDS = "input_vid_proj.0.net.1.weight", "input_txt_proj.0.net.1.weight"


KINDS = (
    Kind(
        "cg_detr",
        "CG-DETR",
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
        shapes={"global_position": torch.flatten},
        sizes={
            "cross_layers": count("transformer.t2v_encoder"),
            "dummies": size("dummy_rep_token", 0),
            "prompts": size("global_rep_token", 0),
        },
    ),
    Kind(
        "tr_detr",
        "TR-DETR",
        mark="fuser.cq_attention.w4C",
        renames=(
            (r"^fuser\.cq_attention\.w4C$", "fusion.similarity.sequence.weight"),
            (r"^fuser\.cq_attention\.w4Q$", "fusion.similarity.query.weight"),
            (r"^fuser\.cq_attention\.w4mlu$", "fusion.similarity.product"),
            (r"^fuser\.cq_attention\.cqa_linear\.conv1d\.", "fusion.mix."),
            (r"^fuser\.cq_concat\.weighted_pool\.", "fusion.pool."),
            (r"^fuser\.cq_concat\.conv1d\.conv1d\.", "fusion.output."),
            (r"^gru_extractor\.gru\.", "moment_reader."),
        ),
        shapes={
            "fusion.similarity.sequence.weight": _row,
            "fusion.similarity.query.weight": _row,
            "fusion.similarity.product": _row,
            "fusion.pool.weight": _row,
            "fusion.mix.weight": _kernel,
            "fusion.output.weight": _kernel,
        },
    ),
    Kind(
        "task_weave",
        "TaskWeave",
        mark="mr_log_var",
        renames=(
            (r"^hd_log_var$", "saliency_doubt"),
            (r"^mr_log_var$", "moment_doubt"),
            (r"^transformer\.mr_linear\.", "moment_input."),
            (r"^transformer\.hd_linear\.", "highlight_input."),
            (r"^transformer\.mr_norm\.bias$", "moment_branch"),
            (r"^transformer\.mr_proj\.", "moment_output."),
            (r"^transformer\.shared_encoder\.layers\.", "encoder."),
            (r"^transformer\.mr_decoder\.", "decoder."),
            (r"^saliency_proj_linear\.", "clip_saliency.0."),
            (r"^saliency_proj_local\.", "clip_saliency.1."),
            (r"^output_saliency\.", "clip_saliency.2."),
        ),
        unused=("transformer.mr_conv.", "transformer.mr_norm.weight"),
        shapes={
            "saliency_doubt": torch.squeeze,
            "moment_doubt": torch.squeeze,
            "moment_branch": torch.flatten,
            "moment_output.weight": _kernel,
            "clip_saliency.1.weight": _kernel,
        },
        sizes={
            "feed_forward": size("transformer.shared_encoder.layers.0.linear1.weight", 0),
            "layers": count("transformer.shared_encoder"),
        },
    ),
    Kind(
        "eatr",
        "EaTR",
        mark="transformer.decoder.slot_atten.slots",
        renames=(
            (r"^transformer\.decoder\.slot_atten\.", "slots."),
            (r"^slots\.project_q\.", "slots.query."),
            (r"^slots\.project_k\.", "slots.key."),
            (r"^slots\.project_v\.", "slots.value."),
            (r"^slots\.norm_inputs\.", "slots.input_norm."),
            (r"^slots\.norm_slots\.", "slots.slot_norm."),
            (r"^slots\.norm_mlp\.", "slots.mlp_norm."),
            (r"^slots\.norm_out\.", "slots.output_norm."),
            (r"^transformer\.decoder\.event_norm\.", "event_norm."),
            (r"^transformer\.decoder\.event_span_embed\.", "event_span."),
            (r"^transformer\.decoder\.moment_span_embed\.", "decoder.move."),
            (r"^transformer\.decoder\.layers\.0\.gate_cross_attn\.in_proj_", "decoder.gate.value."),
            (r"^transformer\.decoder\.layers\.0\.gate_cross_attn\.out_proj\.", "decoder.gate.output."),
            (r"^transformer\.decoder\.layers\.0\.gate_self_attn\.", "decoder.gate.attention."),
            (r"^transformer\.decoder\.layers\.0\.gate_norm\.", "decoder.gate.norm."),
            (r"^transformer\.decoder\.layers\.0\.gate_linear\.", "decoder.gate.linear."),
        ),
        # They stand under the decoder's names too.
        unused=("event_span_embed.", "moment_span_embed."),
        shapes={"decoder.gate.value.weight": _value, "decoder.gate.value.bias": _value},
        sizes={"queries": size("transformer.decoder.slot_atten.slots", 0)},
    ),
    Kind(
        "uvcom",
        "UVCOM",
        mark="CIM.txt_mu",
        renames=(
            (r"^CIM\.txt_mu$", "word_centres"),
            (r"^CIM\.vid_mu$", "clip_centres"),
            (r"^CIM\.decoder\.span_embed\.weight$", "contents.queries"),
            (r"^CIM\.processer_for_tgt\.norm_inputs\.", "contents.input_norm."),
            (r"^CIM\.processer_for_tgt\.norm_mlp\.", "contents.mlp_norm."),
            (r"^CIM\.processer_for_tgt\.norm_out\.", "contents.output_norm."),
            (r"^CIM\.processer_for_tgt\.project_v\.", "contents.value."),
            (r"^CIM\.processer_for_tgt\.mlp\.", "contents.mlp."),
            (r"^CIM\.GKA_Module\.", "encoder."),
            (r"^CIM\.v2t_encoder\.layers\.", "video_to_text."),
            (r"^CIM\.feature_proj\.", "sentence."),
            (r"^CIM\.conv_local\.", "local."),
            (r"^CIM\.sim_vid\.", "video_side."),
            (r"^CIM\.sim_txt\.", "query_side."),
            (r"^CIM\.", ""),
        ),
        unused=(
            "global_rep_token",
            "CIM.processer_for_tgt.norm_slots.",
            "CIM.processer_for_tgt.project_q.",
            "CIM.processer_for_tgt.project_k.",
        ),
        shapes={"local.0.weight": _kernel, "local.2.weight": _kernel},
        sizes={
            "feed_forward": size("CIM.GKA_Module.layers.0.linear1.weight", 0),
            "layers": count("CIM.GKA_Module"),
            "word_centres": size("CIM.txt_mu", 0),
            "clip_centres": size("CIM.vid_mu", 0),
            "width": size("CIM.sim_vid.layers.0.weight", 0),
        },
    ),
    Kind(
        "bm_detr",
        "BM-DETR",
        mark="FPM.0.weight",
        renames=(
            (r"^FPM\.", "probability."),
            (r"^transformer\.encoder\.query_scale\.", "position_scale."),
            (r"^vid_att_pooling\.", "video_pool."),
            (r"^txt_att_pooling\.", "query_pool."),
            (r"_pool\.feat2att\.", "_pool.hidden."),
            (r"_pool\.to_alpha\.", "_pool.score."),
            (r"_pool\.fc\.", "_pool.output."),
            (r"^contrastive_align_vid_proj\.", "align_video."),
            (r"^contrastive_align_txt_proj\.", "align_query."),
        ),
        # Of the two widths that it gives an anchor, one is read.
        shapes={"decoder.reference_width.2.weight": _first, "decoder.reference_width.2.bias": _first},
        sizes={
            "decoder_layers": count("transformer.decoder"),
            "alignment": size("contrastive_align_vid_proj.weight", 0),
        },
    ),
    Kind("qd_detr", "QD-DETR", mark="global_rep_token"),
    Kind("moment_detr", "Moment-DETR", mark="query_embed.weight"),
)
"""The first whose mark a checkpoint has is its network."""

RELEASES = [Release(kind.network, (kind.mark, "class_embed.weight", _VIDEO, _WORDS), kind.read) for kind in KINDS]
