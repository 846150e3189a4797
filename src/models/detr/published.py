"""The parameter names of the published QD-DETR and Moment-DETR, in those of `src.models.tea.Network`."""

from __future__ import annotations

import re

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


def rename(name: str) -> str:
    """Our name of a published parameter."""
    for pattern, replacement in RENAMES:
        name = re.sub(pattern, replacement, name)
    return name if name.startswith("embed_") else f"predictor.{name}"
