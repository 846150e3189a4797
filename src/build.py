"""The parts that a composed config names, built and put together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from src.data.datamodule import MomentDataModule, Snippets, Stores
from src.data.narratives import missing_narratives
from src.data.records import Moment
from src.data.splits import load_split, split_names
from src.data.store import Store
from src.data.text_stores import narrative_store, query_store
from src.errors import UserError
from src.metrics.suite import rows_of
from src.models.mergers import Merger
from src.models.network import TEA, Network
from src.models.predictor import Predictor
from src.text.encoder import TextEncoder


def build_data(cfg: DictConfig, splits: Sequence[str] | None = None) -> MomentDataModule:
    """The data module of a config: annotations read, text stores made where they are missing.

    Args:
        cfg: a composed conf/train.yaml.
        splits: test splits to read instead of all of them.

    Raises:
        UserError: annotations, features, narratives or word vectors are missing or do not fit.
    """
    predictor: type[Predictor] = get_class(cfg.predictor.network._target_)
    moments = {split: load_split(cfg.data, split).moments for split in split_names(cfg.data)}
    return MomentDataModule(
        train=moments[cfg.data.train],
        val=moments[cfg.data.val],
        tests={split: moments[split] for split in splits or cfg.data.tests},
        stores=build_stores(cfg, (moment for split in moments.values() for moment in split)),
        snippets=Snippets(cfg.features.snippet_seconds, cfg.features.max_snippets, cfg.features.fill),
        every_window=not predictor.learns_all_windows,
        batch_size=cfg.loader.batch_size,
        eval_batch_size=cfg.loader.eval_batch_size,
        workers=cfg.loader.workers,
        bucket=cfg.loader.bucket,
        seed=cfg.seed,
    )


def build_stores(cfg: DictConfig, moments: Iterable[Moment]) -> Stores:
    """The stores that the configured network reads. Those of text are made if need be; video features must be there.

    Raises:
        UserError: what they are made of is missing (all of it is named), or they do not fit the config.
    """
    if missing := [*(missing_features(cfg) if uses_video(cfg) else ()), *missing_texts(cfg)]:
        raise UserError("; and ".join(missing))
    video = Store(Path(cfg.features.store)) if uses_video(cfg) else None
    if video is not None:
        _require_size(video, "features", cfg)
    query, narrative = text_stores(cfg, moments)
    return Stores(query, video, narrative)


def text_stores(cfg: DictConfig, moments: Iterable[Moment]) -> tuple[Store, Store | None]:
    """The stores of queries and of narratives (None if the network reads none), made if need be.

    Raises:
        UserError: as `build_stores`.
    """
    encoder: TextEncoder = instantiate(cfg.text.encoder)
    queries: set[str] = set()
    videos: set[str] = set()
    for moment in moments:
        queries.add(moment.query)
        videos.add(moment.video)
    query = query_store(query_path(cfg), encoder, queries)
    _require_size(query, "text", cfg)
    if not uses_narratives(cfg):
        return query, None
    return query, narrative_store(narrative_path(cfg), encoder, narratives_file(cfg), videos)


def uses_video(cfg: DictConfig) -> bool:
    """Whether the configured network reads video features."""
    merger: type[Merger] = get_class(cfg.merger.network._target_)
    return merger.uses_video


def uses_narratives(cfg: DictConfig) -> bool:
    """Whether the configured network reads narratives."""
    merger: type[Merger] = get_class(cfg.merger.network._target_)
    return merger.uses_narrative or cfg.paragraph.network is not None


def missing_texts(cfg: DictConfig) -> list[str]:
    """What to do about narratives, word vectors or a text model that are not there; nothing if they are."""
    encoder: TextEncoder = instantiate(cfg.text.encoder)
    return [*(missing_narratives(narratives_file(cfg)) if uses_narratives(cfg) else ()), *encoder.missing()]


def _require_size(store: Store, group: str, cfg: DictConfig) -> None:
    if store.dim != cfg[group].dim:
        raise UserError(f"{store.path} holds vectors of size {store.dim}, but {group}.dim is {cfg[group].dim}")


def missing_features(cfg: DictConfig) -> list[str]:
    """What to do about a store of video features that has not been made; nothing if it has.

    Raises:
        UserError: the config names no video features though its network reads them.
    """
    features = cfg.features
    if "store" not in features:
        raise UserError(f"features={features.name} has no video: choose merger=narrative_only paragraph=none with it")
    if Path(features.store).is_file():
        return []
    places = " and ".join(str(place) for place in instantiate(features.layout).places)
    return [
        f"no store of {features.name} features at {features.store}: put those from {features.source} at {places}, "
        "then run python -m src.prepare with the options of this command"
    ]


def narratives_file(cfg: DictConfig) -> Path:
    """Where the narratives of the configured videos and narrator are."""
    return Path(cfg.paths.narratives) / cfg.data.videos / f"{cfg.narrator.name}.jsonl"


def narrative_path(cfg: DictConfig) -> Path:
    """Where the store of their features is."""
    return Path(cfg.paths.stores) / cfg.data.videos / f"narratives.{cfg.narrator.name}.{cfg.text.name}.h5"


def query_path(cfg: DictConfig) -> Path:
    """Where the store of the data set's query features is."""
    return Path(cfg.paths.stores) / cfg.data.videos / f"queries.{cfg.data.name}.{cfg.text.name}.h5"


def build_network(cfg: DictConfig) -> Network:
    """The network of a config, with new weights."""
    predictor = instantiate(cfg.predictor.network)
    merger: Merger = instantiate(cfg.merger.network)(dim=cfg.predictor.network.hidden)

    def match() -> nn.Module | None:
        """A new one for each branch."""
        return instantiate(cfg.match.network)(dim=cfg.predictor.network.hidden) if cfg.match.network else None

    paragraph = None
    if cfg.paragraph.network is not None:
        paragraph = instantiate(cfg.paragraph.network)(predictor=predictor, match=match(), text_dim=cfg.text.dim)
    video_dim = cfg.features.dim if merger.uses_video else None
    return Network(predictor, merger, paragraph, match(), video_dim, cfg.text.dim)


def build_model(cfg: DictConfig, data: MomentDataModule) -> TEA:
    """The LightningModule of a config, with new weights, to be tested on the test splits of `data`."""
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    return TEA(
        network=build_network(cfg),
        optimizer=instantiate(cfg.optimizer),
        scheduler=instantiate(cfg.scheduler),
        metrics=lambda: instantiate(cfg.metrics),
        test_rows={
            split: sorted({row for moment in dataset.moments for row in rows_of(split, moment)})
            for split, dataset in data.tests.items()
        },
        top=cfg.top,
        config=config,
    )
