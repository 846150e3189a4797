"""Checkpoints of the published networks of maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from src.models.published import Published, Release, Weights, count, rename

_TAN_2D = (
    (r"^frame_layer\.vis_conv\.", "embed_video.linear."),
    (r"^fusion_layer\.textual_encoder\.", "embed_query.lstm."),
    (r"^fusion_layer\.tex_linear\.", "embed_query.linear."),
    (r"^fusion_layer\.vis_conv\.", "predictor.map.fusion.linear."),
    (r"^map_layer\.convs\.", "predictor.map.convolutions."),
    (r"^pred_layer\.", "predictor.map.score."),
)

_MS_2D_TAN = (
    (r"^clip_module\.vis_conv\.", "embed_video.linear."),
    (r"^lang_module\.textual_encoder\.(\w+)_l(\d+)_reverse$", r"embed_query.layers.\2.backwards.\1_l0"),
    (r"^lang_module\.textual_encoder\.(\w+)_l(\d+)$", r"embed_query.layers.\2.forwards.\1_l0"),
    (r"^lang_module\.tex_linear1\.", "predictor.mix.1."),
    (r"^lang_module\.tex_linear2\.", "predictor.mix.3."),
    (r"^fusion_modules\.(\d+)\.vis_conv\.", r"predictor.scales.\1.fusion.linear."),
    (r"^map_modules\.(\d+)\.blocks\.(\d+)\.0\.", r"predictor.scales.\1.blocks.\2.values."),
    (r"^map_modules\.(\d+)\.blocks\.(\d+)\.1\.", r"predictor.scales.\1.blocks.\2.gate."),
    (r"^pred_modules\.(\d+)\.predictor1\.", r"predictor.scales.\1.score.0."),
    (r"^pred_modules\.(\d+)\.predictor2\.", r"predictor.scales.\1.score.2."),
    (r"^pred_modules\.(\d+)\.predictor3\.", r"predictor.scales.\1.score.4."),
)

_DCM = (
    (r"^featpool\.conv\.", "embed_video.linear."),
    (r"^query\.lstm\.", "embed_query."),
    (r"^TCN\.pred_weight$", "predictor.weight.weight"),
    (r"^TCN\.fc\.", "predictor.asked."),
    (r"^TCN\.conv\.", "predictor.content."),
    (r"^TCN\.conv_pos\.", "predictor.location."),
    (r"^TCN\.conv_res\.", "predictor.residual."),
    (r"^TCN\.conv2d_1\.", "predictor.convolutions.0."),
    (r"^TCN\.conv2d_2\.", "predictor.convolutions.1."),
    (r"^TCN\.conv2d_3\.", "predictor.convolutions.2."),
    (r"^TCN\.BD_Adjust_Att\.fc_value\.", "predictor.intervention.value."),
    (r"^TCN\.BD_Adjust_Att\.fc_key\.", "predictor.intervention.key."),
    (r"^TCN\.BD_Adjust_Att\.fc_qry\.", "predictor.intervention.query."),
    (r"^TCN\.Q\.", "predictor.intervention.of_query."),
    (r"^TCN\.M\.", "predictor.intervention.of_content."),
)


def read_tan_2d(weights: Weights) -> Published:
    """The 2D-TAN of a published state dict, with either kind of proposals."""
    scales = _scales(weights)
    # One chain over all lengths is written scale by scale.
    links = tuple(
        (rf"^prop_layer\.layers\.{scale}\.{number}\.", f"predictor.proposals.links.{sum(scales[:scale]) + number}.")
        for scale, lengths in enumerate(scales)
        for number in range(lengths)
    )
    states = weights["fusion_layer.textual_encoder.weight_hh_l0"].shape[1]
    return Published(
        predictor="tan_2d" if scales else "tan_2d_pool",
        settings={
            "hidden": len(weights["frame_layer.vis_conv.weight"]),
            "states": states,
            "word_layers": count(weights, r"fusion_layer\.textual_encoder\.weight_hh_l(\d+)"),
            "layers": count(weights, r"map_layer\.convs\.(\d+)\."),
            "kernel": weights["map_layer.convs.0.weight"].shape[-1],
            # The maximum has no weights by which its scales could be told.
            **({"scales": scales} if scales else {}),
        },
        video_dim=weights["frame_layer.vis_conv.weight"].shape[1],
        text_dim=weights["fusion_layer.textual_encoder.weight_ih_l0"].shape[1],
        **_ours(weights, (*_TAN_2D, *links)),
    )


def read_ms_2d_tan(weights: Weights) -> Published:
    """The MS-2D-TAN of Primitives of a published state dict."""
    blocks = count(weights, r"map_modules\.0\.blocks\.(\d+)\.")
    return Published(
        predictor="ms_2d_tan",
        settings={
            "hidden": len(weights["clip_module.vis_conv.weight"]),
            "states": 2 * weights["lang_module.textual_encoder.weight_hh_l0"].shape[1],
            "word_layers": count(weights, r"lang_module\.textual_encoder\.weight_hh_l(\d+)$"),
            "kernels": [weights[f"map_modules.0.blocks.{block}.0.weight"].shape[-1] for block in range(blocks)],
        },
        video_dim=weights["clip_module.vis_conv.weight"].shape[1],
        text_dim=weights["lang_module.textual_encoder.weight_ih_l0"].shape[1],
        **_ours(weights, _MS_2D_TAN),
    )


def read_dcm(weights: Weights) -> Published:
    """The DCM of a published state dict."""
    return Published(
        predictor="dcm",
        settings={
            "hidden": len(weights["featpool.conv.weight"]),
            "word_layers": count(weights, r"query\.lstm\.weight_hh_l(\d+)"),
        },
        video_dim=weights["featpool.conv.weight"].shape[1],
        text_dim=weights["query.lstm.weight_ih_l0"].shape[1],
        **_ours(weights, _DCM),
    )


def _scales(weights: Weights) -> list[int]:
    """How many lengths each scale of convolved proposals has; none where there are no weights of them."""
    scales = count(weights, r"prop_layer\.layers\.(\d+)\.")
    return [count(weights, rf"prop_layer\.layers\.{scale}\.(\d+)\.") for scale in range(scales)]


def _ours(weights: Weights, rules: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """`weights` and `names` of a `Published`; convolutions of one snippet or cell are linear layers here."""
    names = {name: rename(name, rules) for name in weights}
    shaped = {
        ours: weights[name].flatten(1) if _of_one(ours, weights[name]) else weights[name]
        for name, ours in names.items()
    }
    return {"weights": {name: weight.float() for name, weight in shaped.items()}, "names": names}


def _of_one(name: str, weight: Tensor) -> bool:
    return weight.shape[2:].numel() == 1 < weight.ndim and ".links." not in name


RELEASES = (
    Release("2D-TAN", ("frame_layer.vis_conv.weight", "map_layer.convs.0.weight", "pred_layer.weight"), read_tan_2d),
    Release(
        "MS-2D-TAN of Primitives", ("clip_module.vis_conv.weight", "pred_modules.0.predictor1.weight"), read_ms_2d_tan
    ),
    Release("DCM", ("featpool.conv.weight", "TCN.BD_Adjust_Att.fc_value.weight"), read_dcm),
)
