"""Checkpoints of the published LGI and DRN."""

from __future__ import annotations

from collections.abc import Sequence

from src.models import published
from src.models.published import LSTM, Published, Release, Weights, count

# Applied in order, each wherever it matches.
LGI: tuple[tuple[str, str], ...] = (
    *LSTM,
    (r"^query_enc\.rnn\.", "embed_query."),
    (r"^video_enc\.vid_emb_fn\.0\.", "embed_video.linear."),
    (r"^video_enc\.pos_emb_fn\.0\.weight$", "position.table"),
    (r"^sqan\.global_emb_fn\.", "phrases.sentence."),
    (r"^sqan\.guide_emb_fn\.0\.", "phrases.guide."),
    (r"^sqan\.att_fn\.", "phrases.attention."),
    (r"^vti_fn\.satt_fn\.", "weigh."),
    (r"^ta_reg_fn\.tatt\.fc\.", "summary."),
    (r"^ta_reg_fn\.tatt\.", "focus."),
    (r"\.key2att\.", ".key."),
    (r"(^|\.)feat2att\.", r"\1element."),
    (r"(^|\.)to_alpha\.", r"\1score."),
    (r"^vti_fn\.fusion_fn\.(\d)\.fc_1\.", r"fusion.\1.clip."),
    (r"^vti_fn\.fusion_fn\.(\d)\.fc_2\.", r"fusion.\1.phrase."),
    (r"^vti_fn\.fusion_fn\.(\d)\.fc_3\.", r"fusion.\1.output."),
    (r"^vti_fn\.local_fn\.(\d)\.blocks\.0\.0\.", r"local.\1.convolutions.0."),
    (r"^vti_fn\.local_fn\.(\d)\.blocks\.0\.3\.", r"local.\1.convolutions.1."),
    (r"^vti_fn\.local_fn\.(\d)\.blocks\.0\.1\.", r"local.\1.norms.0."),
    (r"^vti_fn\.local_fn\.(\d)\.blocks\.0\.4\.", r"local.\1.norms.1."),
    (r"^vti_fn\.global_fn\.(\d)\.c_lin\.", r"whole.\1.key_and_value."),
    (r"^vti_fn\.global_fn\.(\d)\.v_lin\.", r"whole.\1.query."),
    (r"^ta_reg_fn\.MLP_reg\.", "locate."),
)
DRN: tuple[tuple[str, str], ...] = (
    *LSTM,
    (r"^query_encoder\.biLSTM\.", "embed_query."),
    (r"^prop_fc\.", "embed_video.linear."),
    (r"^position_transform\.", "backbone.position."),
    (r"^query_encoder\.qInput\.", "commands.query."),
    (r"^query_encoder\.qInput(\d)\.", r"commands.guides.\1."),
    (r"^query_encoder\.cmd_inter2logits\.", "commands.score."),
    (r"^qInput(\d)\.", r"commands.outputs.\1."),
    (r"^backbone_net\.forward_conv(\d)\.", r"backbone.levels.\1."),
    (r"^fpn\.fpn_inner1\.", "pyramid.inner.0."),
    (r"^fpn\.fpn_inner2\.", "pyramid.inner.1."),
    (r"^fpn\.fpn_inner3\.", "pyramid.inner.2."),
    (r"^fpn\.fpn_layer1\.", "pyramid.outer.0."),
    (r"^fpn\.fpn_layer2\.", "pyramid.outer.1."),
    (r"^fpn\.fpn_layer3\.", "pyramid.outer.2."),
    (r"^fcos\.head\.cls_tower\.", "match.features."),
    (r"^fcos\.head\.cls_logits\.", "match.output."),
    (r"^fcos\.head\.bbox_tower\.", "windows.location.features."),
    (r"^fcos\.head\.bbox_pred\.", "windows.location.output."),
    (r"^fcos\.head\.scales\.(\d)\.scale$", r"windows.scales.\1"),
    (r"^fcos\.head\.mix_fc\.", "windows.overlap.0."),
    (r"^fcos\.head\.iou_scores\.3\.", "windows.overlap.2."),
    (r"^fcos\.head\.iou_scores\.", "windows.overlap.1."),
)

# Word vectors, which stand in the project's stores; what is computed and not used; and a count of steps.
UNUSED = (
    *("query_enc.embedding.", "vti_fn.satt_fn.fc.", "query_encoder.embedding.", "query_encoder.textualAttention."),
    "fcos.head.centerness.",
)
COUNT = ".num_batches_tracked"


def _names(weights: Weights, rules: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Our name of each published weight that is used here."""
    used = [name for name in weights if not name.startswith(UNUSED) and not name.endswith(COUNT)]
    ours = {name: published.rename(name, rules) for name in used}
    return {name: own if own.startswith("embed_") else f"predictor.{own}" for name, own in ours.items()}


def read_lgi(weights: Weights) -> Published:
    """The LGI of a published state dict."""
    names = _names(weights, LGI)
    attention, hidden = weights["ta_reg_fn.tatt.feat2att.weight"].shape
    blocks = count(weights, r"vti_fn\.global_fn\.(\d+)\.")
    return Published(
        # What no weight tells follows from the data set.
        predictor="lgi_anet" if blocks == 1 else "lgi",
        settings={
            "hidden": hidden,
            "attention": attention,
            "phrases": count(weights, r"vti_fn\.fusion_fn\.(\d+)\."),
            "kernel": weights["vti_fn.local_fn.0.blocks.0.0.weight"].shape[2],
            "blocks": blocks,
            "places": len(weights["video_enc.pos_emb_fn.0.weight"]),
        },
        video_dim=weights["video_enc.vid_emb_fn.0.weight"].shape[1],
        text_dim=weights["query_enc.rnn.weight_ih_l0"].shape[1],
        weights={ours: weights[name].float() for name, ours in names.items()},
        names=names,
    )


def read_drn(weights: Weights) -> Published:
    """The DRN of a published state dict."""
    names = _names(weights, DRN)
    hidden, video_dim = weights["prop_fc.weight"].shape
    return Published(
        predictor="drn",
        settings={
            "hidden": hidden,
            "words": len(weights["query_encoder.qInput.weight"]),
            "channels": len(weights["backbone_net.forward_conv0.0.weight"]),
            "position": len(weights["position_transform.weight"]),
            "pyramid": len(weights["fcos.head.cls_tower.0.weight"]),
        },
        video_dim=video_dim,
        text_dim=weights["query_encoder.biLSTM.weight_ih_l0"].shape[1],
        weights={ours: weights[name].float() for name, ours in names.items()},
        names=names,
    )


RELEASES = (
    Release("LGI", ("ta_reg_fn.tatt.feat2att.weight", "sqan.guide_emb_fn.0.weight"), read_lgi),
    Release("DRN", ("prop_fc.weight", "query_encoder.cmd_inter2logits.weight"), read_drn),
)
