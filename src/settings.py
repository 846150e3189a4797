"""What every setting of conf/ may be, declared once: checked before any work, and told by --help.

The kinds are pydantic's, checked on the composed config. Hydra's structured configs know types but no ranges, and would
want a dataclass in the place of each file of conf/, of which a user's own would then have to be one as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, ValidationError

from src.errors import UserError


class Kind:
    """What a setting may be: in words, and as the type by which pydantic knows it."""

    def __init__(self, said: str, type_: Any) -> None:
        self.said = said
        self.type = type_

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.type)

    def takes(self, value: Any) -> bool:
        try:
            self._adapter.validate_python(value, strict=True)
        except ValidationError:
            return False
        return True


def one_of(*values: str) -> Kind:
    return Kind(" or ".join([", ".join(values[:-1]), values[-1]] if len(values) > 1 else values), Literal[values])


def or_null(kind: Kind) -> Kind:
    return Kind(f"{kind.said}, or null", kind.type | None)


def either(*kinds: Kind) -> Kind:
    type_ = kinds[0].type
    for kind in kinds[1:]:
        type_ = type_ | kind.type
    return Kind(", or ".join(kind.said for kind in kinds), type_)


def list_of(kind: Kind, least: int = 1) -> Kind:
    return Kind(f"a list; each {kind.said}", Annotated[list[kind.type], Field(min_length=least)])  # type: ignore[name-defined]


def _float(said: str, **limits: Any) -> Kind:
    return Kind(said, Annotated[float, Field(allow_inf_nan=False, **limits)])


_NUMBER = _float("a number")
FLAG = Kind("true or false", bool)
COUNT = Kind("a whole number, 1 or more", Annotated[int, Field(ge=1, lt=2**31)])
WHOLE = Kind("a whole number, 0 or more", Annotated[int, Field(ge=0, lt=2**31)])
SIZE = Kind("a whole number from 1 to 65536", Annotated[int, Field(ge=1, le=65536)])
EVEN = Kind("an even number from 2 to 65536", Annotated[int, Field(ge=2, le=65536, multiple_of=2)])
LAYERS = Kind("a whole number from 1 to 64", Annotated[int, Field(ge=1, le=64)])
SEED = Kind("a whole number from 0 to 4294967295", Annotated[int, Field(ge=0, lt=2**32)])
SHARE = _float("a number from 0 to 1", ge=0, le=1)
PART = _float("a number between 0 and 1", gt=0, lt=1)
RATE = _float("a number from 0 up to, but not, 1", ge=0, lt=1)
WEIGHT = _float("a number, 0 or more", ge=0)
POSITIVE = _float("a number above 0", gt=0)
TEXT = Kind("text", str)
NAME = Kind(
    "text of at most 200 letters that can be in a file's name (put a number into quotes: name='\"2026\"')",
    Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")],
)
PLACE = Kind("a path", Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00]+$")])
NAMES = list_of(NAME)
SOME_TEXT = list_of(TEXT, least=0)
DTYPE = one_of("auto", "float32", "float16", "bfloat16")


def _odd(number: int) -> int:
    if number % 2 == 0:
        raise ValueError
    return number


_MOST_STEPS = Kind("a whole number, 1 or more, or -1 for no limit", Annotated[int, Field(ge=1)] | Literal[-1])
_BATCHES = Kind("a number of batches, 1 or more, or a share of them", COUNT.type | _float("", gt=0, le=1).type)
_PRECISION = one_of(
    *("16", "32", "64", "bf16", "16-true", "16-mixed", "bf16-true", "bf16-mixed", "32-true", "64-true"),
    *("transformer-engine", "transformer-engine-float16"),
)

_FEATURES: dict[str, Kind] = {
    "name": NAME,
    "dim": or_null(SIZE),
    "source": TEXT,
    "model": PLACE,
    "videos": PLACE,
    "computed": NAME,
    "weights": PLACE,
    "clip_seconds": COUNT,
    "streams": or_null(list_of(SIZE)),
    "pooling": one_of("max", "mean"),
    "max_snippets": COUNT,
    "snippet_seconds": or_null(POSITIVE),
    "fill": one_of("nearest", "zero"),
    "store": PLACE,
}

SETTINGS: dict[str, Kind] = {
    # Of every command.
    "paths.*": PLACE,
    "name": NAME,
    "folder": PLACE,
    "seed": SEED,
    "recipe": or_null(NAME),
    "top": COUNT,
    "test": FLAG,
    "keep_state": FLAG,
    "ckpt_path": or_null(PLACE),
    "start_from": or_null(PLACE),
    "loader.batch_size": COUNT,
    "loader.eval_batch_size": COUNT,
    "loader.workers": WHOLE,
    "loader.bucket": FLAG,
    # Choices of groups.
    "data.name": NAME,
    "data.videos": NAME,
    "data.title": TEXT,
    "data.family": NAME,
    "data.root": PLACE,
    "data.captions_root": PLACE,
    "data.source": TEXT,
    "data.train": NAME,
    "data.val": NAME,
    "data.tests": NAMES,
    "data.scored_as": one_of("clipped", "annotated"),
    "data.test_file": NAME,
    "data.clip_seconds": POSITIVE,
    "data.submission": NAME,
    "data.share": PART,
    "data.folds": Kind("a whole number, 2 or more", Annotated[int, Field(ge=2)]),
    "data.fold": WHOLE,
    "data.seed": SEED,
    "data.validation.size": PART,
    "data.validation.seed": SEED,
    **{f"features.{within}{key}": kind for within in ("", "*.") for key, kind in _FEATURES.items()},
    "text.name": NAME,
    "text.dim": SIZE,
    "reworder.name": NAME,
    "merger.name": NAME,
    "paragraph.name": NAME,
    "match.name": NAME,
    "method.name": NAME,
    "predictor.name": NAME,
    "metrics.least_ious": list_of(SHARE),
    "metrics.tops": list_of(COUNT),
    "metrics.strict": FLAG,
    # Of evaluate.
    "predictions": or_null(PLACE),
    "checkpoint": or_null(PLACE),
    "split": or_null(NAME),
    # Of prepare.
    "stats": FLAG,
    "import_narratives": or_null(PLACE),
    "convert_checkpoint": or_null(PLACE),
    "ship": or_null(PLACE),
    "notice": TEXT,
    # Of features, narrate and reword.
    "videos": or_null(PLACE),
    "collection": or_null(NAME),
    "ids": one_of("name", "path"),
    "output": or_null(PLACE),
    "retry_failed": FLAG,
    "shard": or_null(either(NAME, WHOLE)),
    "shards": or_null(COUNT),
    "merge": or_null(either(PLACE, list_of(PLACE))),
    "report": FLAG,
    "frames.reader": one_of("decord", "pyav"),
    "frames.longest": COUNT,
    "frames.ahead": WHOLE,
    "frames.patience": POSITIVE,
    "frames.skip_similar": or_null(_float("a number from 0 to 255", ge=0, le=255)),
    "ray.workers": WHOLE,
    "ray.gpus": WEIGHT,
    # Of search.
    "query": or_null(TEXT),
    "queries": or_null(PLACE),
    "video": or_null(PLACE),
    "narrate": FLAG,
    "index.name": NAME,
    "model.name": NAME,
    "compare.name": NAME,
    # Of app.
    "host": NAME,
    "port": Kind("a whole number from 0 to 65535", Annotated[int, Field(ge=0, le=65535)]),
    "uploads": PLACE,
    "largest": COUNT,
    # Of playroom.
    **{f"size.{split}": COUNT for split in ("train", "val", "test_iid", "test_ood", "novel_composition", "novel_word")},
    "workers": WHOLE,
    # Of report.
    "runs": list_of(PLACE, least=0),
    "title": TEXT,
    "columns": NAMES,
    "against": or_null(TEXT),
    "labels": SOME_TEXT,
    "paper": or_null(PLACE),
    "examples": WHOLE,
    # Of wandb_view.
    "entity": or_null(NAME),
    "project": NAME,
    "group": or_null(TEXT),
    "by": NAMES,
    "metrics": NAMES,
}
"""By the setting's dotted name, in which * stands for any one name."""

_SPAN: dict[str, Kind] = {
    "hidden": SIZE,
    "heads": COUNT,
    "dropout": RATE,
    "highlight_weight": WEIGHT,
    "highlight_extend": WEIGHT,
    "highlight_positive": POSITIVE,
    "most_overlap": SHARE,
    "choice": one_of("probability", "expected_iou"),
    "supervise": one_of("fused", "video", "both"),
    "paragraph_highlight": FLAG,
}
_DETR: dict[str, Kind] = {
    "hidden": SIZE,
    "heads": COUNT,
    "layers": LAYERS,
    "feed_forward": SIZE,
    "queries": SIZE,
    "dropout": RATE,
    "input_dropout": RATE,
    "streams": or_null(list_of(SIZE)),
    "max_windows": or_null(COUNT),
}
_OF_MODEL = {"name": NAME, "interval": POSITIVE, "model": PLACE, "prompt": or_null(TEXT)}
_ASKED = {"name": NAME, "prompt": TEXT, "answers": PLACE, "retry_failed": FLAG}
_CAPTIONED = {"root": PLACE, "files": NAMES, "duration_key": NAME}
_DIVIDED = {"part": one_of("train", "val"), "size": PART, "seed": SEED}
_STORED = {"dim": SIZE}
_NETWORK = {"weights": PLACE, "source": TEXT, "device": NAME, "precision": one_of("float32", "bfloat16")}
_SAVED = {"filename": NAME, "monitor": NAME, "mode": one_of("max", "min")}

_TWO_SHARES = Kind(
    "two numbers from 0 to 1", Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=2, max_length=2)]
)

_POOLING = one_of("mean", "best")

PARTS: dict[str, dict[str, Kind]] = {
    "lightning.Trainer": {
        "max_epochs": or_null(_MOST_STEPS),
        "min_epochs": or_null(WHOLE),
        "max_steps": _MOST_STEPS,
        "gradient_clip_val": or_null(POSITIVE),
        "accumulate_grad_batches": COUNT,
        "accelerator": one_of("auto", "cpu", "gpu", "cuda", "mps", "tpu", "hpu"),
        "strategy": NAME,
        "devices": either(COUNT, list_of(WHOLE), NAME),
        "num_nodes": COUNT,
        "precision": either(_PRECISION, one_of("auto")),
        "deterministic": either(FLAG, one_of("warn")),
        "log_every_n_steps": COUNT,
        "check_val_every_n_epoch": COUNT,
        "val_check_interval": or_null(_BATCHES),
        "num_sanity_val_steps": WHOLE,
        "limit_train_batches": or_null(_BATCHES),
        "limit_val_batches": or_null(_BATCHES),
        "limit_test_batches": or_null(_BATCHES),
        "overfit_batches": either(WHOLE, SHARE),
        "fast_dev_run": either(FLAG, WHOLE),
        "detect_anomaly": FLAG,
        "enable_model_summary": FLAG,
        "enable_progress_bar": FLAG,
        "enable_checkpointing": FLAG,
        "use_distributed_sampler": FLAG,
    },
    "lightning.pytorch.callbacks.ModelCheckpoint": {
        **_SAVED,
        "dirpath": PLACE,
        "enable_version_counter": FLAG,
    },
    "src.runs.callbacks.BestCheckpoint": {**_SAVED, "folder": PLACE},
    "src.runs.callbacks.LastCheckpoint": {"folder": PLACE, "every_n_steps": COUNT},
    "src.runs.callbacks.PredictionWriter": {"folder": PLACE, "submission": or_null(NAME)},
    "src.runs.epochs.EpochLines": {"metrics": NAMES},
    "lightning.pytorch.loggers.CSVLogger": {"save_dir": PLACE, "name": NAME},
    "src.runs.wandb.RunLogger": {
        "folder": PLACE,
        "experiment": NAME,
        "sweep": or_null(NAME),
        "project": NAME,
        "mode": one_of("online", "offline", "disabled", "shared"),
        "pictures": WHOLE,
        "checkpoint": FLAG,
        "tags": list_of(
            Kind(
                "text of 1 to 64 letters, as Weights & Biases takes them",
                Annotated[str, StringConstraints(min_length=1, max_length=64)],
            ),
            least=0,
        ),
    },
    "torch.optim.Adam": {"lr": POSITIVE, "weight_decay": WEIGHT, "eps": POSITIVE},
    "torch.optim.AdamW": {"lr": POSITIVE, "weight_decay": WEIGHT, "eps": POSITIVE},
    "torch.optim.lr_scheduler.ConstantLR": {"factor": SHARE},
    "src.models.schedules.Steps": {"milestones": list_of(SHARE), "factor": SHARE},
    "torch.optim.lr_scheduler.LinearLR": {
        "start_factor": Kind("a number above 0, at most 1", Annotated[float, Field(gt=0, le=1)]),
        "end_factor": SHARE,
    },
    "src.models.span.predictor.SpanSettings": {
        **_SPAN,
        "similarity": one_of("bilinear", "trilinear"),
        "ranking_layers": Kind("a whole number from 0 to 64", Annotated[int, Field(ge=0, le=64)]),
        "highlight_end": one_of("paper", "published"),
        "ranking_iou": _TWO_SHARES,
        "candidate_iou": _TWO_SHARES,
        "position": one_of("sine", "none"),
        "begin_alike": FLAG,
        "guide_kernel": Kind("an odd whole number, 1 or more", Annotated[int, Field(ge=1), AfterValidator(_odd)]),
        "ranking": FLAG,
    },
    "src.models.span.vslnet.VSLNetSettings": {
        **_SPAN,
        "head": one_of("lstm", "encoder"),
        "places": SIZE,
        "letters": Kind("a whole number from 0 to 65536", Annotated[int, Field(ge=0, le=65536)]),
        "alphabet": TEXT,
    },
    "src.models.span.qave.QAVESettings": {
        **dict.fromkeys(("hidden", "inputs", "words"), EVEN),
        "head": SIZE,
        "match": Kind("a whole number from 0 to 65536", Annotated[int, Field(ge=0, le=65536)]),
        "dropout": RATE,
        "end": one_of("whole", "released"),
        "most_overlap": SHARE,
        "choice": one_of("probability", "expected_iou"),
        "supervise": one_of("fused", "video", "both"),
    },
    "src.models.shuffling.Shuffling": {
        "hidden": SIZE,
        **dict.fromkeys(("intra", "inter", "order"), WEIGHT),
        "dropout": RATE,
    },
    "src.models.regression.lgi.LGISettings": {
        "hidden": EVEN,
        **dict.fromkeys(("attention", "places"), SIZE),
        **dict.fromkeys(("phrases", "blocks"), LAYERS),
        "kernel": Kind("an odd number from 1 to 63", Annotated[int, Field(ge=1, le=63), AfterValidator(_odd)]),
        "heads": COUNT,
        "dropout": RATE,
        "output": one_of("relu", "sigmoid"),
        "distinct": WEIGHT,
    },
    "src.models.regression.drn.DRNSettings": {
        **dict.fromkeys(("hidden", "words", "channels", "position", "pyramid"), SIZE),
        "cells": Kind("a multiple of 4, 4 or more", Annotated[int, Field(ge=4, le=65536, multiple_of=4)]),
        "stage": one_of("first", "second", "third"),
        "least_match": SHARE,
        "most_overlap": SHARE,
    },
    "src.models.proposals.predictor.SegmentSettings": {
        **dict.fromkeys(("hidden", "width"), SIZE),
        "layers": Kind("a whole number from 0 to 64", Annotated[int, Field(ge=0, le=64)]),
        "kernel": Kind("an odd number from 1 to 63", Annotated[int, Field(ge=1, le=63), AfterValidator(_odd)]),
        "flank": COUNT,
        "dropout": RATE,
        "query_alone": SHARE,
        "sharpness": POSITIVE,
        "most_overlap": SHARE,
        "choice": one_of("probability", "expected_iou"),
    },
    "src.models.detr.qd_detr.QDDETRSettings": _DETR,
    "src.models.detr.moment_detr.MomentDETRSettings": _DETR,
    "src.models.detr.detr.Weights": {
        **dict.fromkeys(("span", "giou", "label", "background", "saliency"), WEIGHT),
        "margin": WEIGHT,
    },
    "src.models.mergers.ConcatMLP": {"dropout": RATE},
    "src.models.mergers.CrossAttention": {"heads": COUNT, "dropout": RATE},
    "src.models.mergers.Add": {},
    "src.models.mergers.VideoOnly": {},
    "src.models.mergers.NarrativeOnly": {},
    "src.models.match.CosineMatch": {"rewordings": _POOLING},
    "src.models.method.Method": {},
    "src.models.paragraph.ParagraphQuery": {"alpha": WEIGHT},
    "src.metrics.recall.Recall": {"tops": list_of(COUNT), "least_ious": list_of(SHARE), "strict": FLAG},
    "src.metrics.recall.DiscountedRecall": {"least_ious": list_of(SHARE), "strict": FLAG},
    "src.metrics.average_precision.MomentAveragePrecision": {
        "least_ious": list_of(SHARE),
        "lengths.*": Kind(
            "two lengths in seconds, of which the second can be null",
            Annotated[list[Annotated[float, Field(ge=0)] | None], Field(min_length=2, max_length=2)],
        ),
        "top": COUNT,
    },
    "src.metrics.recall.MeanIoU": {},
    "src.metrics.highlights.HighlightDetection": {},
    "src.text.glove.Glove": {"path": PLACE, "dim": SIZE, "source": TEXT},
    "src.text.learned.Learned": {"dim": SIZE},
    "src.text.huggingface.HuggingFaceText": {
        "model": PLACE,
        "sentence": one_of("mean", "pooler"),
        "normalize": FLAG,
        "normalize_words": FLAG,
        "max_tokens": or_null(COUNT),
        "batch_size": COUNT,
        "device": NAME,
    },
    "src.data.layouts.NpyFolder": {"folder": PLACE, **_STORED},
    "src.data.layouts.NpzFolder": {"folder": PLACE, **_STORED},
    "src.data.layouts.TextFolders": {"folder": PLACE, **_STORED},
    "src.data.layouts.Hdf5": {"file": PLACE, "dataset": NAME, **_STORED},
    "src.data.layouts.Streams": {"normalize": FLAG},
    "src.features.computed.Computed": {
        "videos": PLACE,
        "dim": SIZE,
        "seconds": POSITIVE,
        "batch_size": COUNT,
        "reader": one_of("decord", "pyav"),
        "longest": COUNT,
        "ids": one_of("name", "path"),
        "take": one_of("nearest", "fps"),
        "patience": POSITIVE,
        "workers": COUNT,
        "parts": PLACE,
    },
    "src.features.computed.ComputedStreams": {"normalize": FLAG},
    "src.videos.frames.Crop": {
        "shorter": COUNT,
        "side": COUNT,
        "scaling": one_of("bilinear", "bicubic"),
        "offset": one_of("round", "cut"),
    },
    "src.features.networks.extractors.I3DExtractor": {
        **_NETWORK,
        "frames": Kind("a whole number, 16 or more", Annotated[int, Field(ge=16, lt=2**31)]),
        "trained_on": one_of("charades", "kinetics"),
    },
    "src.features.networks.extractors.VGGExtractor": _NETWORK,
    "src.features.networks.extractors.C3DExtractor": {**_NETWORK, "projection": or_null(PLACE), "dim": SIZE},
    "src.features.networks.extractors.SlowFastExtractor": {
        **_NETWORK,
        "seconds": COUNT,
        "sampling": one_of("released", "even"),
    },
    "src.features.huggingface.HuggingFaceVision": {"model": PLACE, "frames": COUNT, "device": NAME},
    "src.features.pixels.Pixels": {
        "rows": COUNT,
        "columns": COUNT,
        "frames": Kind("a whole number, 2 or more", Annotated[int, Field(ge=2)]),
        "cell": COUNT,
    },
    "src.narrators.huggingface.HuggingFaceNarrator": {
        **_OF_MODEL,
        "quantization": one_of("none", "8bit", "4bit"),
        "dtype": DTYPE,
        "device_map": NAME,
        "batch_size": COUNT,
        "generation.max_new_tokens": COUNT,
        "generation.do_sample": FLAG,
        "generation.num_beams": COUNT,
    },
    "src.narrators.endpoint.EndpointNarrator": {
        **_OF_MODEL,
        "url": NAME,
        "key": NAME,
        "requests": COUNT,
        "timeout": POSITIVE,
        "attempts": COUNT,
        "backoff": WEIGHT,
        "generation.max_tokens": COUNT,
        "generation.temperature": WEIGHT,
    },
    "src.narrators.imported.ImportedNarrator": {"name": NAME, "interval": POSITIVE, "captions": PLACE},
    "src.narrators.annotated.AnnotatedNarrator": {"name": NAME, "interval": POSITIVE, "parts": WHOLE},
    "src.playroom.ideal.IdealNarrator": {"name": NAME, "interval": POSITIVE, "folder": PLACE},
    "src.playroom.narrator.PlayroomNarrator": {"name": NAME, "interval": POSITIVE, "batch_size": COUNT},
    "src.data.annotations.captions.Captions": _CAPTIONED,
    "src.data.annotations.tacos.Tacos": {"file": PLACE},
    "src.data.annotations.charades_sta.CharadesSta": {"file": PLACE, "durations": PLACE},
    "src.data.annotations.qvhighlights.QvHighlights": {"file": PLACE, "clip_seconds": POSITIVE},
    "src.data.annotations.qvhighlights.source": {},
    "src.data.annotations.parts.HeldOut": _DIVIDED,
    "src.data.annotations.parts.Fold": {
        "part": one_of("test", "rest"),
        "fold": WHOLE,
        "folds": Kind("a whole number, 2 or more", Annotated[int, Field(ge=2)]),
        "seed": SEED,
    },
    "src.data.annotations.parts.Within": {},
    "src.data.annotations.parts.Without": {},
    "src.baselines.prior.Prior": {"seed": SEED},
    "src.baselines.similarity.Similarity": {"constants": list_of(_NUMBER), "rewordings": _POOLING},
    "src.baselines.whole_video.WholeVideo": {},
    "src.baselines.vtg_gpt.VtgGpt": {"least": COUNT, "gap": COUNT, "most_overlap": SHARE},
    "src.language.endpoint.EndpointModel": {
        "url": NAME,
        "model": NAME,
        "key": NAME,
        "requests": COUNT,
        "timeout": POSITIVE,
        "attempts": COUNT,
        "backoff": WEIGHT,
        "generation.max_tokens": COUNT,
        "generation.temperature": WEIGHT,
    },
    "src.language.huggingface.HuggingFaceModel": {
        "model": PLACE,
        "dtype": DTYPE,
        "device_map": NAME,
        "sees": FLAG,
        "generation.max_new_tokens": COUNT,
        "generation.do_sample": FLAG,
    },
    "src.rewording.imported.ImportedReworder": {"name": NAME, "file": PLACE},
    "src.rewording.asked.ModelReworder": {"name": NAME, "prompt": TEXT, "count": COUNT},
    "src.baselines.asked.NarrativesAsked": {**_ASKED, "most": COUNT},
    "src.baselines.asked.VideoAsked": {
        **_ASKED,
        "videos": PLACE,
        "frames": COUNT,
        "reader": one_of("decord", "pyav"),
        "longest": COUNT,
    },
    "src.retrieval.exact.ExactIndex": {},
    "src.retrieval.lance.LanceIndex": {
        "place": or_null(PLACE),
        "storage.*": TEXT,
        "rows": COUNT,
        "probes": COUNT,
        "least": COUNT,
    },
    "src.retrieval.run.Run": {"folder": PLACE, "videos": COUNT, "moments": COUNT, "device": NAME, "paths.*": PLACE},
    "src.retrieval.segments.Segments": {
        "network": PLACE,
        "windows": COUNT,
        "moments": COUNT,
        "weight": WEIGHT,
        "device": NAME,
    },
    "src.retrieval.similarity.Similarity": {
        "lowered": _NUMBER,
        "runs": COUNT,
        "candidates": COUNT,
        "window.*": _NUMBER,
        "run.*": _NUMBER,
    },
}
"""By the `_target_` of a part, and within it as above. What is no part of ours has settings of its own, unchecked."""

_HYDRAS = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")


def require_valid(config: Any, where: str = "") -> None:
    """Raise a UserError that names a setting, its value and its range, for the first that is out of it.

    Args:
        config: A composed config as plain containers, resolved. What is missing (???) is told when it is asked for.
        where: What it came out of, for the message; nothing for the user's own command.
    """
    for key, value, kind in leaves(config):
        if kind is not None and value != "???" and not kind.takes(value):
            raise UserError(f"{where}{key}={_shown(value)}: give {kind.said}")
    _require_division(config, where)


def leaves(config: Mapping[str, Any]) -> Iterator[tuple[str, Any, Kind | None]]:
    """Every setting by its dotted name, with its value and what it may be; None for those that are not declared."""
    rest: list[tuple[str, str, Any, Mapping[str, Kind]]] = [("", "", config, SETTINGS)]
    while rest:
        key, within, value, kinds = rest.pop()
        kind = next((kind for pattern, kind in kinds.items() if _matches(within, pattern)), None)
        has_inner = isinstance(value, Mapping) and any(pattern.startswith(f"{within}.") for pattern in kinds)
        if kind is not None and not has_inner:
            yield key, value, kind
        elif isinstance(value, Mapping):
            if "_target_" in value:
                within, kinds = "", PARTS.get(str(value["_target_"]), {})
            rest += [
                (f"{key}.{name}".lstrip("."), f"{within}.{name}".lstrip("."), inner, kinds)
                for name, inner in value.items()
                if name not in _HYDRAS
            ]
        elif isinstance(value, list) and any(isinstance(inner, Mapping) for inner in value):
            rest += [(f"{key}.{number}", f"{within}.{number}", inner, kinds) for number, inner in enumerate(value)]
        else:
            yield key, value, None


def _matches(key: str, pattern: str) -> bool:
    return key.count(".") == pattern.count(".") and fnmatchcase(key, pattern)


def _require_division(config: Mapping[str, Any], where: str) -> None:
    """The heads of an attention divide its size, which for a merger is the predictor's."""
    sizes = [_within(config, group, "network") for group in ("predictor", "merger")]
    hidden = sizes[0].get("hidden")
    for group, settings in zip(("predictor", "merger"), sizes, strict=True):
        heads = settings.get("heads")
        if isinstance(hidden, int) and isinstance(heads, int) and heads and hidden % heads:
            raise UserError(
                f"{where}{group}.network.heads={heads}: give a divisor of predictor.network.hidden={hidden}"
            )


def _within(config: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    node: Any = config
    for key in keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node if isinstance(node, Mapping) else {}


def _shown(value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else ascii(value)[:80]
    return text.strip("'")
