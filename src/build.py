"""A composed config, read once: the parts that it names, built and put together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

from src.arguments import quoted
from src.data.datamodule import MomentDataModule, Snippets, Stores
from src.data.feature_stores import feature_store, missing_places, require_same_features
from src.data.layouts import Layout
from src.data.narratives import missing_narratives
from src.data.records import Moment
from src.data.rewordings import missing_rewordings
from src.data.splits import load_split, split_names
from src.data.store import Store
from src.data.text_stores import narrative_store, query_store, rewording_store
from src.errors import UserError
from src.files import require_folder
from src.metrics.split import SplitMetrics
from src.models.mergers import Merger
from src.models.method import Method
from src.models.network import Network
from src.models.predictor import Settings
from src.models.tea import TEA
from src.places import CONF, Places
from src.text.encoder import TextEncoder

NO_REWORDER = "none"
"""The name of the choice of conf/reworder by which queries have no rewordings."""


def compose(command: str, *overrides: str, folder: str | Path = ".", conf: Sequence[str | Path] = ()) -> DictConfig:
    """The config of a command, composed in a script or notebook as the command composes it.

    Args:
        command: train, evaluate, prepare …
        overrides: Settings as on the command line, such as +experiment=charades_cd_i3d.
        folder: The run folder, which a command names by the time.
        conf: Config folders of your own, as `--config-dir` names one.

    Raises:
        HydraException: there is no such setting or choice.
    """
    own = ",".join(quoted(str(Path(each).resolve())) for each in conf)
    found = [f"hydra.searchpath=[{own}]"] if own else []
    # Within a command, Hydra holds that command's configs, and takes no others beside them.
    of_command = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = hydra.compose(command, [*found, *overrides])
    finally:
        # Another instance than before: Hydra puts back a copy.
        GlobalHydra.instance().hydra = of_command
    if "folder" in cfg.keys() and not any(each.startswith("folder=") for each in overrides):  # noqa: SIM118 unresolved
        cfg.folder = str(folder)
    return cfg


class Parts:
    """What a composed conf/train.yaml names. Each part is built when it is first asked for, and kept.

    Args:
        cfg: The config. One that came out of a file must have passed `src.runs.trust.require_known`.
    """

    def __init__(self, cfg: DictConfig) -> None:
        self.cfg = cfg
        self.places = Places(cfg)
        self._moments: dict[str, list[Moment]] = {}

    @cached_property
    def encoder(self) -> TextEncoder:
        """The text encoder; nothing is loaded yet."""
        return instantiate(self.cfg.text.encoder)

    @cached_property
    def layout(self) -> Layout | None:
        """Where the video features come from; None where the network reads no video."""
        if not self.uses_video or "layout" not in self.cfg.features:
            return None
        return instantiate(self.cfg.features.layout)

    @cached_property
    def snippets(self) -> Snippets:
        """How videos are cut where no features say so.

        Raises:
            UserError: the network reads no video, and the config does not say how one is cut without its features.
        """
        features = self.cfg.features
        if not self.uses_video and features.snippet_seconds is None:
            raise UserError(
                f"features={features.name} does not say how a video is cut that the network does not read: with "
                f"merger={self.cfg.merger.name} choose features=none"
            )
        return Snippets(features.snippet_seconds, features.max_snippets, features.fill)

    @property
    def splits(self) -> list[str]:
        """The names of every split: train, validation, then the test splits."""
        return split_names(self.cfg.data)

    def moments(self, split: str) -> list[Moment]:
        """The annotated moments of a split, read once.

        Raises:
            UserError: annotations are missing or malformed, or there is no such split.
        """
        if split not in self._moments:
            self._moments[split] = load_split(self.cfg.data, split).moments
        return self._moments[split]

    @cached_property
    def merger(self) -> type[Merger]:
        """The kind of merger, which knows what it reads."""
        kind: type[Merger] = instantiate(self.cfg.merger.network).func
        return kind

    @property
    def uses_video(self) -> bool:
        """Whether the network reads video features."""
        return self.merger.uses_video

    @property
    def uses_rewordings(self) -> bool:
        """Whether queries come with rewordings."""
        # A checkpoint of before there were reworders has none.
        return "reworder" in self.cfg and self.cfg.reworder.name != NO_REWORDER

    @property
    def uses_narratives(self) -> bool:
        """Whether the network reads narratives."""
        return self.merger.uses_narrative or self.cfg.paragraph.network is not None

    @cached_property
    def network(self) -> Network:
        """The network that the others of these parts are for: one with new weights, unless another is put here.

        Raises:
            UserError: its parts do not go together.
        """
        return self.new_network()

    def new_network(self) -> Network:
        """A network with new weights.

        Raises:
            UserError: its parts do not go together.
        """
        cfg = self.cfg
        settings: Settings = instantiate(cfg.predictor.network, _convert_="all")
        predictor = settings.build()
        merger: Merger = instantiate(cfg.merger.network)(dim=predictor.hidden)

        def match() -> nn.Module | None:
            """A new one for each branch."""
            return instantiate(cfg.match.network)(dim=predictor.hidden) if cfg.match.network else None

        paragraph = None
        if cfg.paragraph.network is not None:
            paragraph = instantiate(cfg.paragraph.network)(predictor=predictor, match=match(), text_dim=cfg.text.dim)
        return Network(
            predictor, merger, paragraph, match(), cfg.features.dim if merger.uses_video else None, cfg.text.dim
        )

    def data(self, tests: Sequence[str] | None = None) -> MomentDataModule:
        """The data module: annotations read, text stores made where they are missing.

        Args:
            tests: Test splits to read instead of all of them.

        Raises:
            UserError: annotations, features, narratives or word vectors are missing or do not fit.
        """
        cfg = self.cfg
        every = [self.moments(split) for split in self.splits]
        return MomentDataModule(
            train=self.moments(cfg.data.train),
            val=self.moments(cfg.data.val),
            tests={split: self.moments(split) for split in tests or cfg.data.tests},
            stores=self.stores(moment for moments in every for moment in moments),
            snippets=self.snippets,
            every_window=not self.network.predictor.learns_all_windows,
            batch_size=cfg.loader.batch_size,
            eval_batch_size=cfg.loader.eval_batch_size,
            workers=cfg.loader.workers,
            bucket=cfg.loader.bucket,
            seed=cfg.seed,
        )

    def metrics(self, split: str, moments: Sequence[Moment] = ()) -> SplitMetrics:
        """The metrics of a split, and of the parts of it that `moments` are in."""
        return SplitMetrics.of(split, moments, lambda: instantiate(self.cfg.metrics.of))

    def model(self, data: MomentDataModule, configuration: dict[str, Any]) -> TEA:
        """The LightningModule, to be tested on the test splits of `data`, with what its checkpoints keep."""
        method: Method = instantiate(self.cfg.method.network)
        method.require(self.network)
        return TEA(
            network=self.network,
            method=method,
            optimizer=instantiate(self.cfg.optimizer),
            scheduler=instantiate(self.cfg.scheduler),
            validation=self.metrics("val"),
            tests={split: self.metrics(split, dataset.moments) for split, dataset in data.tests.items()},
            top=self.cfg.top,
            configuration=configuration,
        )

    def stores(self, moments: Iterable[Moment]) -> Stores:
        """The stores that the network reads. Those of text are made if need be; video features must be there.

        Raises:
            UserError: what they are made of is missing (all of it is named), or they do not fit the config.
        """
        if missing := [*self.missing_features(), *self.missing_texts()]:
            raise UserError("; and ".join(missing))
        video = self.video_store()
        return self.text_stores(moments)._replace(video=video)

    def video_store(self) -> Store | None:
        """The store of video features, which must be there; None where the network reads no video.

        Raises:
            UserError: there is none, or its vectors have another size than the config says.
        """
        if not self.uses_video:
            return None
        if missing := self.missing_features():
            raise UserError(missing[0])
        assert self.places.feature_store is not None
        store = Store(self.places.feature_store)
        self._require_size(store, "features")
        if self.layout is not None:
            require_same_features(store, self.layout, self.cfg.features.pooling, self.cfg.features.max_snippets)
        return store

    def text_stores(self, moments: Iterable[Moment]) -> Stores:
        """The stores of queries, narratives and rewordings (None if there are to be none), made if need be.

        Raises:
            UserError: as `stores`.
        """
        queries: set[str] = set()
        videos: set[str] = set()
        for moment in moments:
            queries.add(moment.query)
            videos.add(moment.video)
        query = query_store(self.places.query_store, self.encoder, queries)
        self._require_size(query, "text")
        places, encoder = self.places, self.encoder
        narrative = rewording = None
        if self.uses_narratives:
            narrative = narrative_store(places.narrative_store, encoder, places.narratives, videos)
        if self.uses_rewordings:
            rewording = rewording_store(places.rewording_store, encoder, places.rewordings, queries)
        return Stores(query, None, narrative, rewording)

    def make_stores(self) -> list[Store]:
        """Every store that training reads; those that are up to date are left alone.

        Raises:
            UserError: what they are made of is missing (all of it is named), or cannot be used.
        """
        moments = [moment for split in self.splits for moment in self.moments(split)]
        layout, features, place = self.layout, self.cfg.features, self.places.feature_store
        # Whatever is missing is said before the long work on anything begins.
        missing = self.missing_texts()
        if layout is not None and not (place and place.is_file()):
            missing = [*missing_places(layout, features.source), *missing]
        if missing:
            raise UserError("; and ".join(missing))
        require_folder(self.places.query_store.parent)
        stores: list[Store] = []
        if layout is not None and place is not None:
            videos = {moment.video for moment in moments}
            stores.append(
                feature_store(place, layout, videos, features.pooling, features.max_snippets, features.source)
            )
        texts = self.text_stores(moments)
        return [*stores, *(store for store in texts if store is not None)]

    def missing_texts(self) -> list[str]:
        """What to do about narratives, rewordings, word vectors or a text model that are not there."""
        narratives = missing_narratives(self.places.narratives) if self.uses_narratives else ()
        rewordings = missing_rewordings(self.places.rewordings) if self.uses_rewordings else ()
        return [*narratives, *rewordings, *self.encoder.missing()]

    def missing_features(self) -> list[str]:
        """What to do about a store of video features that has not been made; nothing if it has, or none is read.

        Raises:
            UserError: the config names no video features though its network reads them.
        """
        if not self.uses_video:
            return []
        features, store = self.cfg.features, self.places.feature_store
        if store is None or self.layout is None:
            raise UserError(
                f"features={features.name} has no video: choose merger=narrative_only paragraph=none with it"
            )
        if store.is_file():
            return []
        places = " and ".join(str(place) for place in self.layout.places)
        computed = features.get("computed")
        instead = f", or compute them from videos: features={computed} videos=FOLDER" if computed else ""
        return [
            f"no store of {features.name} features at {store}: put those from {features.source} at {places}, "
            f"then run python -m src.prepare with the options of this command{instead}"
        ]

    def _require_size(self, store: Store, group: str) -> None:
        if store.dim != self.cfg[group].dim:
            raise UserError(f"{store.path} holds vectors of size {store.dim}, but {group}.dim is {self.cfg[group].dim}")
