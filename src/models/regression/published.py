"""Checkpoints of the published LGI."""

from __future__ import annotations

from src.models import published
from src.models.published import Published, Release, Weights, count

# Applied in order, each wherever it matches.
LSTM: tuple[tuple[str, str], ...] = (
    (r"\.(weight|bias)_(ih|hh)_l(\d)$", r".layers.\3.forwards.\1_\2_l0"),
    (r"\.(weight|bias)_(ih|hh)_l(\d)_reverse$", r".layers.\3.backwards.\1_\2_l0"),
)
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

# Word vectors, which stand in the project's stores; what is computed and not used; and a count of steps.
UNUSED = ("query_enc.embedding.weight", "vti_fn.satt_fn.fc.weight", "vti_fn.satt_fn.fc.bias")
COUNT = ".num_batches_tracked"


def rename_lgi(name: str) -> str:
    """Our name of a published parameter of LGI."""
    name = published.rename(name, LGI)
    return name if name.startswith("embed_") else f"predictor.{name}"


def read_lgi(weights: Weights) -> Published:
    """The LGI of a published state dict."""
    names = {name: rename_lgi(name) for name in weights if name not in UNUSED and not name.endswith(COUNT)}
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


RELEASES = (Release("LGI", ("ta_reg_fn.tatt.feat2att.weight", "sqan.guide_emb_fn.0.weight"), read_lgi),)
