"""Prints which conf/text this machine can use: minilm where all-MiniLM-L6-v2 is to be had, else learned.

python -m src.text
"""

from __future__ import annotations

from src.command import run
from src.text import minilm


def main() -> None:
    print("minilm" if minilm.available() else "learned")


if __name__ == "__main__":
    run(main)
