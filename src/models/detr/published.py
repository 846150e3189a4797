"""Checkpoints of the published QD-DETR and Moment-DETR."""

from __future__ import annotations

from src.models import published
from src.models.published import Published, Release, Weights, count

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
    name = published.rename(name, RENAMES)
    return name if name.startswith("embed_") else f"predictor.{name}"


def read(weights: Weights) -> Published:
    """The QD-DETR or Moment-DETR of a published state dict."""
    names = {name: rename(name) for name in weights if not name.startswith(UNUSED)}
    return Published(
        predictor="qd_detr" if "global_rep_token" in weights else "moment_detr",
        settings={
            "hidden": weights["class_embed.weight"].shape[1],
            "queries": weights["query_embed.weight"].shape[0],
            "feed_forward": weights["transformer.encoder.layers.0.linear1.weight"].shape[0],
            "layers": count(weights, r"transformer\.encoder\.layers\.(\d+)\."),
        },
        video_dim=weights["input_vid_proj.0.net.1.weight"].shape[1] - 2,
        text_dim=weights["input_txt_proj.0.net.1.weight"].shape[1],
        weights={ours: weights[name].float() for name, ours in names.items()},
        names=names,
    )


RELEASE = Release(
    "QD-DETR or Moment-DETR",
    ("class_embed.weight", "query_embed.weight", "input_vid_proj.0.net.1.weight", "input_txt_proj.0.net.1.weight"),
    read,
)
