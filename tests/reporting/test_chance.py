"""A page tells what is beyond chance from what is not, in a table that a phone shows whole."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from src.reporting.page import write_report
from tests.compose import compose
from tests.reporting.test_damaged_runs import configuration, write_run

# By how much TEA is nearer to the truth than the baseline, in seconds, and how far either is off at most.
SPLITS = {"test_iid": (0.0, 9.0), "test_ood": (2.0, 9.0), "novel_word": (0.0, 9.0)}
KINDS = ("NOUN", "VERB")


def write_compared(folder: Path) -> Path:
    """Two seeds of a baseline and of TEA."""
    for name in ("baseline", "TEA"):
        for seed in (0, 1):
            config = dict(configuration())
            chosen = ("concat_mlp", "query") if name == "TEA" else ("none", "none")
            config |= {"seed": seed, "merger": {"name": chosen[0]}, "paragraph": {"name": chosen[1]}}
            run = write_run(folder / f"{name}{seed}", config)
            values = {"best/val/mIoU": 41.0}
            for split, (gain, most) in SPLITS.items():
                chance, noise = random.Random(f"{split}{seed}"), random.Random(f"{split}{seed}{name}")
                ious: dict[str, list[float]] = {}
                lines = []
                for number in range(120):
                    off = max(0.0, chance.uniform(0, most) - (gain if name == "TEA" else 0.0) + noise.uniform(-2, 2))
                    kind = KINDS[number % 3] if split == "novel_word" and number % 3 < 2 else None
                    rows = [split, *([f"{split}:{kind}"] if kind else [])]
                    for row in rows:
                        ious.setdefault(row, []).append((10 - min(off, 10)) / (10 + off))
                    lines.append(
                        {
                            **{"split": split, "query_id": f"{split}/{number}", "video": "v", "query": "a person sits"},
                            **{"duration": 40.0, "windows": [[10.0, 20.0]], "novel": [[kind, "sits"]] if kind else []},
                            "predictions": [[10 + off, 20 + off, 0.5]],
                        }
                    )
                for row, found in ious.items():
                    values[f"test/{row}/mIoU"] = 100 * float(np.mean(found))
                    for least in (0.3, 0.5, 0.7):
                        values[f"test/{row}/R1@{least}"] = 100 * float(np.mean(np.array(found) >= least))
                (run / "predictions" / f"{split}.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
            (run / "metrics.json").write_text(json.dumps(values))
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("chance")
    runs = write_compared(place / "runs")
    return write_report(compose(f"runs=[{runs}]", f"output={place}/report", config="report"))


def row(text: str, split: str, variant: str) -> str:
    (group,) = re.findall(rf'<th colspan="5">{split}</th>.*?</tbody>', text, re.DOTALL)
    (found,) = re.findall(rf'<td class="name">{variant}</td>.*?</tr>', group, re.DOTALL)
    return str(found)


def test_what_is_within_chance_has_no_colour_and_says_so(page: Path) -> None:
    text = page.read_text()
    certain, uncertain = row(text, "test_ood", "TEA"), row(text, "test_iid", "TEA")
    assert certain.count('class="up"') == 4
    assert "within chance" not in certain
    assert uncertain.count('title="within chance"') == 4
    assert len(re.findall(r"[+-]\d+\.\d°</small>", uncertain)) == 4
    assert not re.search('class="(up|down)"', uncertain)
    (said,) = re.findall(r'<p class="verdict">(.*?)</p>', text)
    assert said.endswith("mIoU: better on test_ood; no different beyond chance on novel_word, test_iid.")
    (table,) = page.parent.glob("*[!s].md")
    lines = table.read_text().splitlines()
    assert "° within chance" in lines[0]
    assert [line.split("|")[1].strip() for line in lines[1:] if "°" in line] == ["novel_word", "test_iid"]


def test_the_parts_of_a_split_stand_in_its_table_with_intervals_of_their_own(page: Path) -> None:
    text = page.read_text()
    assert text.count('<table class="results">') == 1
    for kind in KINDS:
        assert "°" in row(text, f"novel_word:{kind}", "TEA")


@pytest.mark.parametrize("width", [390, 1200])
def test_the_table_is_seen_whole(page: Path, tmp_path: Path, width: int) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    # A frame of that width, for a window of a browser has a least one.
    measure = (
        "const page = document.querySelector('iframe').contentDocument;"
        "const box = page.querySelector('table.results').getBoundingClientRect();"
        "document.title = [box.right, page.documentElement.scrollWidth].join(' ')"
    )
    (tmp_path / "outer.html").write_text(
        f'<iframe src="file://{page}" style="width:{width}px;height:900px;border:0" onload="{measure}"></iframe>'
    )
    quiet = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"]
    options = ["--headless", "--no-sandbox", *quiet, "--allow-file-access-from-files", f"--user-data-dir={tmp_path}/p"]
    dom = subprocess.run(
        [chromium, *options, "--dump-dom", f"file://{tmp_path}/outer.html"],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    (found,) = re.findall(r"<title>([\d.]+) (\d+)</title>", dom)
    assert float(found[0]) <= width
    assert int(found[1]) <= width
