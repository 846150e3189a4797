"""What `python -m src.prepare` does: captions in, stores out; published checkpoints in, ours out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from hydra import compose
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from src.build import Parts
from src.data.caption_formats import read_captions
from src.data.narratives import read_narratives, write_narratives
from src.data.statistics import table
from src.data.store import listing
from src.errors import UserError
from src.features.computed import FromVideos, computed_meanwhile, pace
from src.models.published import Published
from src.models.releases import read_published
from src.narrators.build import build_narrator
from src.narrators.journal import alone
from src.narrators.narrator import Outcome, Reading
from src.narrators.pipeline import FrameNarrator
from src.narrators.writing import narrate_missing, require_narrated
from src.places import WEIGHTS, Places
from src.progress import show
from src.runs.checkpoints import (
    best_checkpoint,
    load_network,
    read_checkpoint,
    require_same_shapes,
    ship,
    write_network,
)
from src.runs.configuration import configuration
from src.videos.collection import Item, collect
from src.videos.tap import Tap

_log = logging.getLogger(__name__)


def prepare(cfg: DictConfig) -> None:
    """Do the one of its tasks that a composed conf/prepare.yaml asks for."""
    if cfg.stats:
        show(table(cfg.data))
    elif cfg.convert_checkpoint is not None:
        convert_checkpoint(cfg)
    elif cfg.ship is not None:
        ship_network(cfg)
    else:
        if cfg.import_narratives is not None:
            import_captions(cfg)
        if cfg.videos is not None:
            cfg = from_videos(cfg)
        make_stores(cfg)


def import_captions(cfg: DictConfig) -> None:
    """Turn the captions at `import_narratives` into the narratives file of the configured narrator.

    Raises:
        UserError: the narrator is a model, which did not write them; or they cannot be read.
    """
    source = Path(cfg.import_narratives)
    if "captions" not in cfg.narrator.keys():  # noqa: SIM118 `in` says no of what is left open
        raise UserError(
            f"{source} would count as written by {cfg.narrator.name}: say whose captions they are with "
            "narrator=imported narrator.name=NAME"
        )
    writer = {"narrator": cfg.narrator.name, "imported": source.name}
    file = Places(cfg).narratives
    with alone(file):
        count = write_narratives(file, read_captions(source, cfg.narrator.interval, writer))
    _log.info("%s: narratives of %d videos", file, count)


def from_videos(cfg: DictConfig) -> DictConfig:
    """Narrate the videos of the data set that are not narrated, from the files at `videos`, and compute their features
    meanwhile. All that lacks is named first, and what the work will take. Features alone are left to their store.

    Returns:
        The config whose features are computed: those that stand in for published ones, where it names such.

    Raises:
        UserError: something lacks; or, once the others are narrated, some videos failed.
    """
    cfg = _computed(cfg)
    parts = Parts(cfg)
    seconds = {moment.video: moment.duration for split in parts.splits for moment in parts.moments(split)}
    items = collect(Path(str(cfg.videos)), seconds)
    missing = _missing_files(items, cfg)
    layout = parts.layout
    if layout is not None:
        missing += layout.missing()
    missing += parts.encoder.missing()
    if missing:
        raise UserError("; and ".join(missing))
    shortest = min(items, key=lambda item: seconds[item.video]).path
    assert shortest is not None
    todo: list[str] = []
    if isinstance(layout, FromVideos):
        todo = [item.video for item in items if not layout.is_kept(item.video)]
        _tell(f"features={cfg.features.name}", todo, seconds, lambda: pace(layout, shortest))
    narrator, output = build_narrator(cfg.narrator) if parts.uses_narratives else None, parts.places.narratives
    untold: list[str] = []
    if isinstance(narrator, FrameNarrator):
        reading = Reading(**cfg.frames)
        told = {narratives.video for narratives in read_narratives(output)} if output.is_file() else set()
        untold = [item.video for item in items if item.video not in told]
        _tell(f"narrator={narrator.name}", untold, seconds, lambda: narrator.pace(shortest, reading))
    if isinstance(narrator, FrameNarrator) and untold:

        def outcomes(wanted: list[Item]) -> Iterator[Outcome]:
            if not isinstance(layout, FromVideos) or not todo:
                return narrator.outcomes(wanted, reading)
            return _narrated_beside(narrator, reading, wanted, layout, todo)

        failed = narrate_missing(items, output, narrator.writer(reading), False, outcomes)
        require_narrated(failed, len(items), output)
    return cfg


def _narrated_beside(
    narrator: FrameNarrator, reading: Reading, wanted: Sequence[Item], layout: FromVideos, todo: Sequence[str]
) -> Iterator[Outcome]:
    """Narrate the `wanted` while the features of `todo` are computed: the frames are decoded once for both."""
    # Two libraries may differ in the pixels of a picture.
    shared = {*todo} & {item.video for item in wanted} if layout.reading.reader == reading.reader else ()
    tap = Tap(narrator.view(reading), shared, partial(narrator.frames, reading=reading))
    with computed_meanwhile(layout, todo, tap):
        yield from narrator.outcomes(wanted, reading, tap.frames)


def _tell(what: str, todo: Sequence[str], seconds: Mapping[str, float], pace: Callable[[], float]) -> None:
    """Say what work there is and how long it will take; `pace` measures the seconds of work for a second of video."""
    if todo:
        hours = sum(seconds[video] for video in todo) / 3600
        took = hours * pace()
        _log.info("%s: %d videos, %.2g hours of video, about %.2g hours here", what, len(todo), hours, took)


def _computed(cfg: DictConfig) -> DictConfig:
    """The config with features that are computed from its `videos`."""
    choice = cfg.features.get("computed")
    if choice is not None:
        words = HydraConfig.get().overrides.task
        cfg = compose("prepare", [*(word for word in words if not word.startswith("features=")), f"features={choice}"])
        _log.info("features=%s are published files; computed in their place: train with features=%s", choice, choice)
    if cfg.features.name != "none" and "videos" not in cfg.features:
        raise UserError(f"features={cfg.features.name} are not computed from videos: leave out videos=")
    OmegaConf.update(cfg, "features.videos", str(cfg.videos), force_add=True)
    return cfg


def _missing_files(items: Sequence[Item], cfg: DictConfig) -> list[str]:
    lacking = [item.video for item in items if item.path is None]
    if not lacking:
        return []
    return [f"no files of {len(lacking)} of {len(items)} videos in {cfg.videos} ({listing(lacking)})"]


def make_stores(cfg: DictConfig) -> None:
    """Make every store that training with this config reads; those that are up to date are left alone.

    Raises:
        UserError: what they are made of is missing (all of it is named), or cannot be used.
    """
    for store in Parts(cfg).make_stores():
        sizes = store.made_by["sizes"]
        _log.info("%s: %d entries, %d vectors of size %d", store.path, sizes["keys"], sizes["rows"], sizes["dim"])


def convert_checkpoint(cfg: DictConfig) -> Path:
    """Write the published network at `convert_checkpoint` as a checkpoint of the configured network.

    Returns:
        Where it was written: the folder of converted checkpoints, under its source's name.

    Raises:
        UserError: the file cannot be read, or is of another network than the configured one; says how to configure it.
    """
    source, parts = Path(cfg.convert_checkpoint), Parts(cfg)
    published = read_published(source)
    if overrides := _overrides(published, cfg):
        raise UserError(f"{source} is of another network than the configured one: add {' '.join(overrides)}")
    network = parts.network
    # Most published networks know no unknown words.
    torch.nn.init.zeros_(network.unknown_word)
    weights = {"unknown_word": network.unknown_word.detach(), **published.weights}
    require_same_shapes(network.state_dict(), weights, source)
    network.load_state_dict(weights)
    target = parts.places.converted / f"{source.stem}.ckpt"
    write_network(target, network, configuration(cfg))
    count = sum(weight.numel() for weight in network.state_dict().values())
    _log.info("%s: %s, %d weights", target, published.predictor, count)
    return target


def ship_network(cfg: DictConfig) -> Path:
    """Write the network at `ship` as the model of this project that is named `name`, with its `notice`.

    Raises:
        UserError: there is no such checkpoint, or it is of another network than the configured one.
    """
    source, parts = best_checkpoint(Path(cfg.ship)), Parts(cfg)
    checkpoint = read_checkpoint(source)
    network = load_network(parts.new_network, checkpoint, source)
    target = WEIGHTS / cfg.name / f"{cfg.name}.safetensors"
    ship(target, network, configuration(cfg), cfg.notice)
    _log.info("%s: %d bytes", target, target.stat().st_size)
    return target


def _overrides(published: Published, cfg: DictConfig) -> list[str]:
    """The command line's words that would bring the config nearer to the published network; none if it is that."""
    groups = {"predictor": published.predictor, "merger": "none", "paragraph": "none", "match": "none"}
    if others := [f"{group}={name}" for group, name in groups.items() if cfg[group].name != name]:
        return others
    values = {f"predictor.network.{name}": value for name, value in published.settings.items()}
    values |= {"features.dim": published.video_dim, "text.dim": published.text_dim}
    differing = {key: value for key, value in values.items() if OmegaConf.select(cfg, key) != value}
    # A list without blanks is one word of a shell.
    return [f"{key}={value}".replace(" ", "") for key, value in differing.items()]
