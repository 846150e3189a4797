"""Find moments in your own videos by a sentence.

python -m src.search videos=FOLDER query="a person opens the door"
"""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from src.command import command, run


@hydra.main(version_base="1.3", config_path="../conf", config_name="search")
@command
def main(cfg: DictConfig) -> None:
    from src.commands.search import search

    search(cfg)


if __name__ == "__main__":
    run(main)
