"""A run is repeated from its folder by one command."""

from __future__ import annotations

import json
import re
from pathlib import Path

from src.commands.prepare import make_stores
from tests.compose import compose
from tests.runs.interrupted import command, contents, stopped
from tests.synthetic import write_small

PAGE = (Path(__file__).parents[2] / "docs" / "run_folder.md").read_text()


def test_the_documented_command_gives_every_byte_again(tmp_path: Path) -> None:
    few = write_small(tmp_path / "data", videos=4, queries=2, dim=8)
    chosen = ["+experiment=charades_cd_i3d", *few, "merger=add", "paragraph=none", "seed=3"]
    make_stores(compose(*chosen, config="prepare"))
    first, again = tmp_path / "first", tmp_path / "again"
    assert stopped(command(*chosen, f"hydra.run.dir={first}"), lambda _: None) == 0
    (words,) = re.findall(r"^    python -m src\.train (--config-dir RUN.*)$", PAGE, re.MULTILINE)
    words = words.replace("RUN/", f"{first}/").replace("AGAIN", str(again))
    assert stopped(command(*words.split()), lambda _: None) == 0
    one, other = contents(first), contents(again)
    assert json.loads(one["metrics.json"])["test/test_ood/mIoU"] > 0
    assert one == other
