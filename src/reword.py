"""Put the queries of a data set into other words, or take in rewordings that exist.

python -m src.reword data=qvhighlights reworder=vtg_gpt
"""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from src.command import command, run


@hydra.main(version_base="1.3", config_path="../conf", config_name="reword")
@command
def main(cfg: DictConfig) -> None:
    from src.commands.reword import reword

    reword(cfg)


if __name__ == "__main__":
    run(main)
