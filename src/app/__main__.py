"""Search your own videos on a page in the browser.

python -m src.app videos=FOLDER
"""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from src.command import command, run


@hydra.main(version_base="1.3", config_path="../../conf", config_name="app")
@command
def main(cfg: DictConfig) -> None:
    from src.commands.app import app

    app(cfg)


if __name__ == "__main__":
    run(main)
