"""Compute the features of your own videos.

python -m src.features videos=FOLDER collection=NAME
"""

from __future__ import annotations

from omegaconf import DictConfig

from src.command import command


@command("features")
def main(cfg: DictConfig) -> None:
    from src.commands.features import features

    features(cfg)


if __name__ == "__main__":
    main()
