"""Search your own videos on a page in the browser.

python -m src.app videos=FOLDER
"""

from __future__ import annotations

from omegaconf import DictConfig

from src.command import command


@command("app")
def main(cfg: DictConfig) -> None:
    from src.commands.app import app

    app(cfg)


if __name__ == "__main__":
    main()
