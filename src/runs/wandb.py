"""A run at Weights & Biases: one for each training, which at its end keeps what the run folder holds."""

from __future__ import annotations

import csv
import io
import json
import math
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from src.errors import UserError, reason
from src.runs.folder import COMPOSED, CONFIG
from src.runs.reading import Answers, read_answers

_FILES = (
    *(CONFIG, COMPOSED, "environment.json", "changes.patch", "data.json", "metrics.json"),
    *("metrics/*/metrics.csv", "predictions/*.jsonl"),
)
_COLUMNS = ("query_id", "video", "query", "duration", "start", "end", "predicted_start", "predicted_end", "IoU")
# As wandb limits them.
_NAME_LENGTH = 128


class RunLogger(WandbLogger):
    """Lightning's logger with a group for each sweep, the run's predictions and its files.

    The run is named after its folder. A training that is continued continues its run, which the folder remembers.

    Args:
        folder: the run folder.
        experiment: The experiment's name.
        sweep: The name of its file in conf/sweep, or None; the jobs of one sweep of an experiment are a group.
        pictures: for each test split so many timelines, evenly from the worst to the best by IoU.
        checkpoint: whether the weights of the best epoch are among the files.
        init: further arguments of `wandb.init`.
    """

    def __init__(
        self, folder: str, experiment: str, sweep: str | None, pictures: int, checkpoint: bool, **init: Any
    ) -> None:
        self.folder = Path(folder)
        group = f"{experiment}/{sweep}" if sweep else experiment
        super().__init__(
            name=self.folder.name[:_NAME_LENGTH], save_dir=folder, group=group[:_NAME_LENGTH], resume="auto", **init
        )
        self.pictures = pictures
        self.files = (*_FILES, "checkpoints/best.ckpt") if checkpoint else _FILES

    @property
    def experiment(self) -> Any:
        """The run, begun when it is first asked for.

        Raises:
            UserError: it cannot be begun.
        """
        import wandb

        try:
            return super().experiment
        except wandb.errors.Error as error:
            raise UserError(
                f"no run at Weights & Biases ({reason(error)}): run `wandb login`, or give logger.wandb.mode=offline"
            ) from error

    @rank_zero_only
    def close(self, failed: bool) -> None:
        """End the run, so that the next job of a multirun has one of its own; one that did not fail keeps its files."""
        exit_code = 1
        try:
            if not failed:
                self._keep()
                exit_code = 0
        finally:
            self.experiment.finish(exit_code=exit_code)

    def _keep(self) -> None:
        import wandb

        run = self.experiment
        for path in sorted((self.folder / "predictions").glob("*.jsonl")):
            answers = read_answers(path)
            images = [
                wandb.Image(timeline(answers, index), caption=answers.ids[index])
                for index in spread(answers, self.pictures)
            ]
            table = wandb.Table(columns=list(_COLUMNS), data=rows(answers))
            run.log({f"predictions/{path.stem}": table, f"timelines/{path.stem}": images})
        run.summary.update(best_epoch(self.folder))
        artifact = wandb.Artifact(f"run-folder-{run.id}", type="run-folder")
        for pattern in self.files:
            for path in sorted(self.folder.glob(pattern)):
                # A finished run's files do not change: none is copied.
                artifact.add_file(str(path), name=str(path.relative_to(self.folder)), policy="immutable")
        run.log_artifact(artifact)


def best_epoch(folder: Path) -> dict[str, float]:
    """The validation metrics of the epoch whose weights are tested, named best/val/METRIC; none without metrics.csv."""
    final = json.loads((folder / "metrics.json").read_text())
    (best,) = (name for name in final if name.startswith("best/"))
    monitor = best.removeprefix("best/")
    for path in sorted((folder / "metrics").glob("*/metrics.csv")):
        with path.open(newline="") as file:
            for epoch in csv.DictReader(file):
                if epoch.get(monitor) and math.isclose(float(epoch[monitor]), final[best], rel_tol=1e-6):
                    return {
                        f"best/{name}": float(epoch[name]) for name in epoch if name.startswith("val/") and epoch[name]
                    }
    return {}


def rows(answers: Answers) -> list[list[Any]]:
    """A row for each query, as `_COLUMNS`: the annotated moment is the one that the predicted matches best."""
    with answers.path.open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    return [
        [record["query_id"], record["video"], record["query"], *map(float, numbers)]
        for record, *numbers in zip(
            records, answers.duration, *answers.truth.T, *answers.first.T, answers.ious, strict=True
        )
    ]


def spread(answers: Answers, count: int) -> list[int]:
    """The indices of `count` queries, evenly from the worst to the best by IoU; of equals the first comes first."""
    order = np.argsort(answers.ious, kind="stable")
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [int(index) for index in order[places]]


def timeline(answers: Answers, index: int) -> Image.Image:
    """Ground truth and the first predicted moment of a query, on the time axis of its video."""
    from matplotlib.figure import Figure

    (record,) = answers.records([index])
    figure = Figure(figsize=(6, 1.6), layout="constrained")
    axes = figure.subplots()
    for place, windows, colour in ((1, record["windows"], "#2e7d4f"), (0, [answers.first[index]], "#2563c4")):
        axes.broken_barh([(start, end - start) for start, end in windows], (place - 0.35, 0.7), color=colour)
    axes.set_yticks([1, 0], ["ground truth", "prediction"])
    axes.set_ylim(-0.5, 1.5)
    axes.set_xlim(0, record["duration"])
    axes.set_xlabel("seconds")
    query = textwrap.shorten(record["query"], 80, placeholder=" …")
    axes.set_title(f"{query}  (IoU {answers.ious[index]:.2f})", fontsize="medium", loc="left")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return Image.open(content)
