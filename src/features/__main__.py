"""Compute the features of your own videos.

python -m src.features videos=FOLDER collection=NAME
"""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from src.command import command, run


@hydra.main(version_base="1.3", config_path="../../conf", config_name="features")
@command
def main(cfg: DictConfig) -> None:
    from src.commands.features import features

    features(cfg)


if __name__ == "__main__":
    run(main)
