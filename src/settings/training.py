"""What the trainer, its callbacks and loggers, the optimizers and the metrics take."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from src.settings.kinds import (
    COUNT,
    FLAG,
    NAME,
    NAMES,
    PLACE,
    POSITIVE,
    RATE,
    SHARE,
    WEIGHT,
    WHOLE,
    Kind,
    decimal,
    either,
    list_of,
    one_of,
    or_null,
)

_MOST_STEPS = Kind("a whole number, 1 or more, or -1 for no limit", Annotated[int, Field(ge=1)] | Literal[-1])
_BATCHES = Kind("a number of batches, 1 or more, or a share of them", COUNT.type | decimal("", gt=0, le=1).type)
_PRECISION = one_of(
    *("16", "32", "64", "bf16", "16-true", "16-mixed", "bf16-true", "bf16-mixed", "32-true", "64-true"),
    *("transformer-engine", "transformer-engine-float16"),
)

_SAVED = {"filename": NAME, "monitor": NAME, "mode": one_of("max", "min")}

TRAINING: dict[str, dict[str, Kind]] = {
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
    "src.runs.averaging.AveragedWeights": {"decay": RATE},
    "src.runs.callbacks.BestCheckpoint": {**_SAVED, "folder": PLACE},
    "src.runs.callbacks.LastCheckpoint": {"folder": PLACE, "every_n_steps": COUNT},
    "src.runs.callbacks.PredictionWriter": {"folder": PLACE, "submission": or_null(NAME)},
    "src.runs.epochs.EpochLines": {"metrics": NAMES},
    "src.runs.patience.Patience": {"monitor": NAME, "mode": one_of("max", "min"), "patience": COUNT},
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
    "torch.optim.lr_scheduler.LinearLR": {
        "start_factor": Kind("a number above 0, at most 1", Annotated[float, Field(gt=0, le=1)]),
        "end_factor": SHARE,
    },
    "src.models.schedules.Steps": {"warmup": SHARE, "milestones": list_of(SHARE, least=0), "factor": SHARE},
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
}
