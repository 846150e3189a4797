"""What `python -m src.evaluate` does: predictions from anywhere, scored like a test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.utils import get_class, instantiate
from omegaconf import DictConfig

from src.baselines.baseline import Baseline, Question
from src.build import Parts, compose
from src.data.batch import GroundTruth
from src.data.datamodule import MomentDataset
from src.data.narratives import read_narratives
from src.data.records import Moment, Narratives
from src.data.similarity import query_cosines
from src.data.store import listing
from src.errors import UserError
from src.metrics.split import SplitMetrics
from src.metrics.table import table
from src.progress import show
from src.retrieval import Retriever
from src.runs.configuration import configuration
from src.runs.folder import RunFolder
from src.runs.predictions import Prediction, read_predictions, require_all_or_no_saliency, to_ranked, write_answers
from src.runs.processes import Processes
from src.runs.provenance import annotation_digests, data_read
from src.training import build_trainer, test

_BATCH = 64
_SCORED = 4096
"""Queries scored at a time: what average precision makes of their windows is many times as large as these."""


def evaluate(cfg: DictConfig, overrides: Sequence[str] = ()) -> dict[str, float]:
    """Score what `predictions`, `checkpoint` or `baseline` names; print the table, and keep it in the run folder.

    Args:
        cfg: a composed conf/evaluate.yaml.
        overrides: what the user gave on the command line; of a checkpoint's configuration only this is replaced.

    Raises:
        UserError: none or several of the three are given, or what they name cannot be used.
    """
    given = [name for name in ("predictions", "checkpoint", "baseline") if cfg.get(name) is not None]
    if len(given) != 1:
        what = " and ".join(given) or "nothing"
        raise UserError(f"{what} given: give one of predictions=FILE, checkpoint=RUN_FOLDER and baseline=NAME")
    if cfg.checkpoint is not None:
        return _test_checkpoint(cfg, overrides)
    if cfg.get("baseline") is not None:
        cfg = _without_network(cfg)
    parts = Parts(cfg)
    if cfg.split is not None:
        _require_answered(parts, cfg.split)
    with RunFolder(Path(cfg.folder), cfg) as run:
        values: dict[str, float] = {}
        digests: dict[str, str] = {}
        answers = _of_file(parts) if cfg.predictions is not None else _of_baseline(parts)
        for split, moments, predictions in answers:
            write_answers(run.path / "predictions", predictions, moments, split, cfg.data.get("submission"))
            scores = score(moments, predictions, parts.metrics(split, moments))
            values |= {f"test/{name}": value for name, value in scores.items()}
            digests |= annotation_digests({split: moments})
        run.read({"annotations": digests})
        run.metrics(values)
    show(table(values))
    return values


def score(moments: Sequence[Moment], predictions: Sequence[Prediction], metrics: SplitMetrics) -> dict[str, float]:
    """The metrics of one split's predictions, named ROW/METRIC.

    Args:
        moments: The split's queries.
        predictions: The answer to each of them, in the same order.
        metrics: Of the split; nothing else has been added to them.
    """
    for start in range(0, len(moments), _SCORED):
        part = slice(start, start + _SCORED)
        metrics.update(to_ranked(predictions[part]), GroundTruth.of(moments[part]))
    return {name: float(value) for name, value in metrics.compute().items()}


def _test_checkpoint(cfg: DictConfig, overrides: Sequence[str]) -> dict[str, float]:
    """Test the network of a checkpoint on the data it was trained on, or as `overrides` say."""
    retriever = Retriever.load(Path(cfg.checkpoint), cfg, overrides)
    parts = retriever.parts
    if cfg.split is not None:
        _require_answered(parts, cfg.split)
    folder = Path(cfg.folder)
    processes = Processes(folder, lambda: "the same command begins anew")
    with RunFolder(folder, parts.cfg) as run, processes.together(run.failed):
        data = parts.data([cfg.split] if cfg.split else None)
        run.read(data_read(data))
        model = parts.model(data, configuration(parts.cfg))
        trainer = build_trainer(parts.cfg, processes)
        data.require_shared(trainer.world_size, tests=True, fitted=False)
        values = test(trainer, model, data, checkpoint=None)
        run.metrics(values)
    return values


def _require_answered(parts: Parts, split: str) -> None:
    """Raise a UserError for a split whose queries are not to be answered: the training split, or none at all."""
    splits = parts.splits[1:]
    if split not in splits:
        raise UserError(f"{parts.cfg.data.name} has no split {split!r} to evaluate: give {' or '.join(splits)}")


def _without_network(cfg: DictConfig) -> DictConfig:
    """The config of a baseline, in which narratives alone are read where it compares them with the query, whatever the
    network of the experiment reads. Settings of the choices that are the same there are kept."""
    baseline: Any = get_class(cfg.baseline._target_)
    if baseline.reads != "similarities":
        return cfg
    alone = compose("train", "features=none", "merger=narrative_only", "paragraph=none")
    cfg = cfg.copy()
    for group in ("features", "merger", "paragraph"):
        if cfg[group].name != alone[group].name:
            cfg[group] = alone[group]
    return cfg


Answers = Iterator[tuple[str, Sequence[Moment], list[Prediction]]]


def _of_file(parts: Parts) -> Answers:
    cfg = parts.cfg
    if cfg.split is None and len(cfg.data.tests) > 1:
        raise UserError(f"say which split the predictions are of: split={'|'.join(parts.splits[1:])}")
    split = cfg.split or cfg.data.tests[0]
    moments = parts.moments(split)
    predictions = read_predictions(Path(cfg.predictions), moments)
    require_all_or_no_saliency(Path(cfg.predictions), predictions)
    yield split, moments, predictions


def _of_baseline(parts: Parts) -> Answers:
    cfg = parts.cfg
    baseline: Baseline = instantiate(cfg.baseline)
    splits = [cfg.split] if cfg.split else list(cfg.data.tests)
    if baseline.reads == "similarities":
        yield from _of_similarities(baseline, parts, splits)
        return
    told = _narratives(parts, splits) if baseline.reads == "narratives" else {}
    baseline.fit(_unseen(parts.moments(cfg.data.train)))
    for split in splits:
        moments = parts.moments(split)
        questions = [Question(moment, told=told.get(moment.video)) for moment in moments]
        yield split, moments, baseline.predict(questions, cfg.top)


def _narratives(parts: Parts, splits: Sequence[str]) -> dict[str, Narratives]:
    """The narratives of the videos of some splits.

    Raises:
        UserError: there are none, or not of each video.
    """
    videos = {moment.video for split in splits for moment in parts.moments(split)}
    file = parts.places.narratives
    told = {each.video: each for each in read_narratives(file) if each.video in videos}
    if lacking := sorted(videos - told.keys()):
        raise UserError(f"{file} has no narratives of {len(lacking)} of {len(videos)} videos ({listing(lacking)})")
    return told


def _unseen(moments: Iterable[Moment]) -> list[Question]:
    return [Question(moment) for moment in moments]


def _of_similarities(baseline: Baseline, parts: Parts, splits: Sequence[str]) -> Answers:
    data = parts.data(splits)
    train = MomentDataset(data.train.moments, data.train.stores, data.train.snippets, every_window=False)
    baseline.fit(list(_matched(train)))
    for split in splits:
        dataset = data.tests[split]
        yield split, dataset.moments, baseline.predict(list(_matched(dataset)), parts.cfg.top)


def _matched(dataset: MomentDataset) -> Iterator[Question]:
    """Each sample with its narratives' similarities to the query and its rewordings."""
    for start in range(0, len(dataset), _BATCH):
        batch = dataset[list(range(start, min(start + _BATCH, len(dataset))))]
        cosines, present = query_cosines(batch.inputs)
        rows = zip(batch.truth.moments, cosines, present, batch.inputs.snippet_mask, strict=True)
        for moment, similarity, sentences, mask in rows:
            yield Question(moment, similarity[sentences][:, mask])
