"""Find moments in your own videos by a sentence.

python -m src.search videos=FOLDER query="a person opens the door"
"""

from __future__ import annotations

from omegaconf import DictConfig

from src.command import command


@command("search")
def main(cfg: DictConfig) -> None:
    from src.commands.search import search

    search(cfg)


if __name__ == "__main__":
    main()
