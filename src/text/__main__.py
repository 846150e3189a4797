"""Prints which conf/text this machine can use: minilm where all-MiniLM-L6-v2 is to be had, else learned.

python -m src.text
"""

from __future__ import annotations

from src.command import run
from src.text import minilm


def main() -> None:
    run(lambda: print("minilm" if minilm.available() else "learned"), __doc__ or "")


if __name__ == "__main__":
    main()
