"""Compute the features of your own videos.

python -m src.features videos=FOLDER collection=NAME
"""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from src.errors import command, run


@hydra.main(version_base="1.3", config_path="../../conf", config_name="extract")
@command
def main(cfg: DictConfig) -> None:
    from src.features.extraction import extract

    extract(cfg)


if __name__ == "__main__":
    run(main)
