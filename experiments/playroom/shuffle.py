"""Give each video the narratives of another: a model that gains from those has found a leak.

python experiments/playroom/shuffle.py data/stores/narratives/playroom/playroom.jsonl
"""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from pathlib import Path

from src.data.narratives import read_narratives, write_narratives


def main() -> None:
    source = Path(sys.argv[1])
    narratives = list(read_narratives(source))
    order = random.Random(0).sample(range(len(narratives)), len(narratives))
    others = {first: narratives[second] for first, second in zip(order, [*order[1:], order[0]], strict=True)}
    target = source.with_name(f"{source.stem}_shuffled.jsonl")
    write_narratives(target, (replace(others[number], video=each.video) for number, each in enumerate(narratives)))
    print(target)


if __name__ == "__main__":
    main()
