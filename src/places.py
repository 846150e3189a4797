"""Where every file of a configuration lies: the one place that knows a path.

What lies within a run folder is the business of src.runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent


def _installed(name: str) -> Path:
    """A folder of this installation: of a wheel within the package, of a checkout beside it."""
    return within if (within := _HERE / name).is_dir() else _HERE.parent / name


CONF = _installed("conf")
"""This installation's config files."""

EXPERIMENTS = _installed("experiments")
"""The papers' numbers and ours, a folder for each table, figure and finding."""

WEIGHTS = _installed("weights")
"""What comes with this project trained: WEIGHTS/NAME/NAME.safetensors, beside what there is to know of it."""


class Places:
    """The files and folders of a configuration; each is looked up when it is asked for.

    Args:
        cfg: A composed config, or the resolved one that a run folder holds. Commands without a data set or a narrator
            lack the places that are named after them.
    """

    def __init__(self, cfg: Mapping[str, Any]) -> None:
        self._cfg = cfg

    @property
    def runs(self) -> Path:
        """The folder of the run folders of this name."""
        return Path(self._cfg["paths"]["outputs"]) / "train" / self._cfg["name"]

    @property
    def converted(self) -> Path:
        """The folder of converted checkpoints."""
        return Path(self._cfg["paths"]["outputs"]) / "converted"

    @property
    def narratives(self) -> Path:
        """The narratives file of the configured videos and narrator."""
        return self.narratives_of(self._cfg["data"]["videos"])

    def narratives_of(self, collection: str) -> Path:
        """The narratives file of any collection of videos by the configured narrator."""
        return Path(self._cfg["paths"]["narratives"]) / collection / f"{self._cfg['narrator']['name']}.jsonl"

    @property
    def narrative_store(self) -> Path:
        """The store of the vectors of those narratives."""
        return self.narrative_store_of(self._cfg["narrator"]["name"])

    def prepared_narratives_of(self, collection: str) -> Path:
        """The store of their vectors that src.prepare makes where the collection is a data set's videos."""
        return self._stores_of(collection) / self._narratives_by(self._cfg["narrator"]["name"])

    def narrative_store_of(self, narrator: str) -> Path:
        """The store of the vectors of any narrator's narratives of the configured videos."""
        return self._stores / self._narratives_by(narrator)

    @property
    def encoded(self) -> Path:
        """The folder of what was made of single video files."""
        return Path(self._cfg["paths"]["stores"]) / "encoded"

    def index_of(self, collection: str) -> Path:
        """The folder of the index of any collection of videos by the configured narrator, text encoder and engine."""
        kind = str(self._cfg["index"]["name"])
        name = f"index.{self._cfg['narrator']['name']}.{self._cfg['text']['name']}.{kind}"
        return self._stores_of(collection) / name

    @property
    def query_store(self) -> Path:
        """The store of the vectors of the data set's queries."""
        return self._stores / f"queries.{self._cfg['data']['name']}.{self._cfg['text']['name']}.h5"

    @property
    def rewordings(self) -> Path:
        """The rewordings file of the data set's queries by the configured reworder."""
        folder = Path(self._cfg["paths"]["rewordings"]) / self._cfg["data"]["name"]
        return folder / f"{self._cfg['reworder']['name']}.jsonl"

    @property
    def rewording_store(self) -> Path:
        """The store of the vectors of those rewordings."""
        names = (self._cfg["data"]["name"], self._cfg["reworder"]["name"], self._cfg["text"]["name"])
        return self._stores / f"rewordings.{'.'.join(names)}.h5"

    @property
    def feature_store(self) -> Path | None:
        """The store of the configured video features; None where the config has no video."""
        store = self._cfg["features"].get("store")
        return None if store is None else Path(store)

    @property
    def _stores(self) -> Path:
        return self._stores_of(self._cfg["data"]["videos"])

    def _stores_of(self, collection: str) -> Path:
        return Path(self._cfg["paths"]["stores"]) / collection

    def _narratives_by(self, narrator: str) -> str:
        return f"narratives.{narrator}.{self._cfg['text']['name']}.h5"
