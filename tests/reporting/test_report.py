"""Reports over real run folders: trained, scored from elsewhere, broken."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import subprocess
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from omegaconf import OmegaConf

from src.commands.evaluate import evaluate
from src.commands.prepare import make_stores
from src.commands.train import train
from src.errors import UserError
from src.reporting.page import write_report
from src.runs.reading import find_runs, read_answers
from tests.compose import compose
from tests.memory import peak_memory
from tests.synthetic import write_small


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A baseline and TEA over two seeds, two values of α, and a baseline without a network."""
    place = tmp_path_factory.mktemp("runs")
    small = ["+experiment=charades_cd_i3d", *write_small(tmp_path_factory.mktemp("small"))]
    make_stores(compose(*small, config="prepare"))
    for seed in (0, 1):
        for name, choice in {"baseline": ["merger=none", "paragraph=none"], "tea": []}.items():
            folder = f"folder={place}/{name}{seed}"
            train(compose(*small, *choice, f"seed={seed}", folder, config="train"))
    evaluate(compose(*small, "baseline=whole_video", f"folder={place}/whole", config="evaluate"))
    return place


def made(places: list[Path], output: Path, *overrides: str) -> str:
    listed = ",".join(map(str, places))
    return write_report(compose(f"runs=[{listed}]", f"output={output}", *overrides, config="report")).read_text()


def test_a_report_has_every_split_and_variant(runs: Path, tmp_path: Path) -> None:
    page = made([runs], tmp_path)
    for part in ("test_iid", "test_ood", "baseline", "TEA", "whole_video", "±", "95 % interval"):
        assert part in page
    # Nothing is fetched: what stands in the page as an address is the name of a vocabulary.
    assert not re.search(r"""(src|href)=["']?http|url\((?!#)|@import""", page)
    rows = list(csv.DictReader((tmp_path / "runs.csv").open()))
    assert {row["seed"] for row in rows} == {"0", "1"}
    logged = json.loads((runs / "tea0" / "metrics.json").read_text())
    (row,) = (r for r in rows if r["folder"].endswith("tea0") and (r["split"], r["metric"]) == ("test_ood", "mIoU"))
    assert float(row["value"]) == logged["test/test_ood/mIoU"]
    # A line for each of three variants on each of two splits.
    assert (tmp_path / "charades-cd.md").read_text().count("\n") == 2 + 3 * 2
    assert r"\textbf{" in (tmp_path / "charades-cd.tex").read_text()


def test_means_bold_and_differences_are_right(runs: Path, tmp_path: Path) -> None:
    made([runs], tmp_path, "columns=[mIoU]")
    lines = [line.split("|")[1:4] for line in (tmp_path / "charades-cd.md").read_text().splitlines()]
    cells = {name.strip(): cell.strip() for split, name, cell in lines if split.strip() == "test_iid"}

    def logged(name: str) -> list[float]:
        files = [runs / f"{name}{seed}" / "metrics.json" for seed in (0, 1)]
        return [json.loads(file.read_text())["test/test_iid/mIoU"] for file in files]

    ours, theirs = logged("tea"), logged("baseline")
    assert f"{np.mean(ours):.1f} ± {np.std(ours, ddof=1):.1f}" in cells["TEA"]
    assert cells["TEA"].rstrip("°)").endswith(f"({np.mean(ours) - np.mean(theirs):+.1f}")
    best = max(cells, key=lambda name: float(cells[name].strip("*").replace("*", " ").split()[0]))
    assert [name for name, cell in cells.items() if "**" in cell] == [best]


def test_variants_are_named_and_compared_as_asked(runs: Path, tmp_path: Path) -> None:
    named = 'labels=["merger=concat_mlp paragraph=query: ours","whole_video: all of it"]'
    page = made([runs], tmp_path, "columns=[mIoU]", named, 'against="all of it"')
    lines = [line.split("|")[2:4] for line in (tmp_path / "charades-cd.md").read_text().splitlines()[2:]]
    assert [name.strip() for name, _ in lines] == 2 * ["all of it", "ours", "merger=none paragraph=none"]
    assert ["(" in cell for _, cell in lines] == 2 * [False, True, True]
    assert "differences to <em>all of it</em>" in page
    with pytest.raises(UserError, match="against='theirs' is no variant: they are"):
        made([runs], tmp_path, "against=theirs")
    with pytest.raises(UserError, match="each is a variant's settings, a colon, and its name"):
        made([runs], tmp_path, "labels=[ours]")


@pytest.mark.parametrize("first", ["paragraph", "baseline0", "tea0"])
def test_the_reference_reads_no_narratives_whatever_is_listed_first(runs: Path, tmp_path: Path, first: str) -> None:
    shutil.copytree(runs / "baseline0", tmp_path / "paragraph")
    config = OmegaConf.load(tmp_path / "paragraph" / "config.yaml")
    config.paragraph = OmegaConf.load(runs / "tea0" / "config.yaml").paragraph
    OmegaConf.save(config, tmp_path / "paragraph" / "config.yaml")
    places = {"paragraph": tmp_path, "baseline0": runs, "tea0": runs}
    listed = [places[name] / name for name in sorted(places, key=lambda name: name != first)]
    assert "differences to <em>baseline</em>" in made(listed, tmp_path / "report", "columns=[mIoU]", "examples=0")


def test_published_predictions_stand_beside_ours(shared: Path, tmp_path: Path) -> None:
    file = shared / "data" / "predictions" / "shuffling_charades_cd_test_ood.json"
    ood = [f"paths.data={shared}/data", "data=charades_cd", "split=test_ood"]
    theirs = [f"predictions={file}", "name=Shuffling", f"folder={tmp_path}/runs/theirs"]
    for overrides in (theirs, ["baseline=prior", f"folder={tmp_path}/runs/ours"]):
        evaluate(compose(*ood, *overrides, config="evaluate"))
    page = made([tmp_path / "runs"], tmp_path / "report", "against=prior", "columns=[R1@0.5]")
    rows = [line.split("|")[1:4] for line in (tmp_path / "report" / "charades-cd.md").read_text().splitlines()[2:]]
    cells = {name.strip(): cell.strip() for _, name, cell in rows}
    assert cells["Shuffling"].startswith("**47.4** (+")
    assert cells.keys() == {"Shuffling", "prior"}
    # Query by query: both answered the same ones.
    assert page.count("<td>Shuffling</td><td>test_ood</td>") == 3


def test_published_numbers_stand_beside_ours_with_differences(runs: Path, tmp_path: Path) -> None:
    paper = tmp_path / "paper.csv"
    paper.write_text(
        "method,year,data,split,metric,value,ours\n"
        "TEA,2025,charades_cd,test_ood,mIoU,50.28,merger=concat_mlp paragraph=query\n"
        "LGI,2020,charades_cd,test_ood,mIoU,39.43,\n"
        "LGI,2020,charades_cg,test_ood,mIoU,1.5,\n"
        "whole_video,,,test_ood,mIoU,20,\n"
    )
    page = made([runs], tmp_path / "report", f"paper={paper}", "columns=[mIoU]")
    assert "LGI, 2020 (paper)" in page
    lines = (tmp_path / "report" / "charades-cd.md").read_text().splitlines()
    cells = {name: cell for split, name, cell in (map(str.strip, line[1:-1].split("|")) for line in lines)}
    assert cells["LGI, 2020 (paper)"] == "39.4"
    values = [json.loads((runs / f"tea{seed}" / "metrics.json").read_text())["test/test_ood/mIoU"] for seed in (0, 1)]
    assert cells["TEA minus TEA, 2025 (paper)"] == f"{np.mean(values) - 50.28:+.1f}"
    # Without settings of ours a method is compared with what bears its name.
    assert "whole_video minus whole_video (paper)" in cells
    assert sum("minus" in name for name in cells) == 2
    page = made([runs], tmp_path / "report", f"paper={paper}", "columns=[R1@0.7]")
    assert f"{paper} has no number of Charades-CD under R1@0.7" in page


def test_what_is_wrong_is_said_and_the_rest_reported(runs: Path, tmp_path: Path) -> None:
    for name in ("baseline0", "tea0", "tea1", "whole"):
        shutil.copytree(runs / name, tmp_path / name)
    (tmp_path / "baseline0" / "status.json").write_text('{"state": "failed", "reason": "no memory"}')
    (tmp_path / "tea1" / "predictions" / "test_ood.jsonl").write_text("{\n")
    (tmp_path / "empty").mkdir()
    page = made([tmp_path, tmp_path / "empty"], tmp_path / "report")
    assert "baseline0 is left out: failed: no memory" in page
    assert "test_ood.jsonl, line 1: not a prediction" in page
    assert "holds no run" in page
    assert "merger" in page or "charades_cd_i3d" in page
    with pytest.raises(UserError, match="no finished run to report"):
        made([tmp_path / "empty"], tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_runs_of_several_data_sets_have_a_table_each(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "whole", tmp_path / "other")
    config = tmp_path / "other" / "config.yaml"
    config.write_text(config.read_text().replace("title: Charades-CD", "title: Another"))
    page = made([runs / "tea0", tmp_path / "other"], tmp_path / "report")
    assert "the runs are of 2 data sets (Charades-CD, Another)" in page
    assert (tmp_path / "report" / "another.md").is_file()


def many(runs: Path, place: Path, count: int) -> Path:
    """`count` variants of one run, a value of α each."""
    for number in range(count):
        folder = place / str(number)
        shutil.copytree(runs / "tea0", folder, ignore=shutil.ignore_patterns("checkpoints"))
        config = yaml.safe_load((folder / "config.yaml").read_text())
        config["paragraph"]["network"]["alpha"] = number / 1000
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return place


def axes_height(svg: str) -> float:
    """The height of a figure's axes, once every text is known to be within its view box."""
    root = ElementTree.fromstring(svg)
    width, height = (float(side) for side in root.attrib["viewBox"].split()[2:])
    for text in root.iter("{http://www.w3.org/2000/svg}text"):
        (size,) = re.findall(r"font-size: ([\d.]+)px", text.attrib["style"])
        (anchor,) = re.findall(r"text-anchor: (\w+)", text.attrib["style"]) or ["start"]
        numbers = dict(re.findall(r"(\w+)\(([^)]*)\)", text.attrib["transform"]))
        angle, *at = map(float, numbers["rotate"].split())
        x, y = at or map(float, numbers["translate"].split())
        extent, _, _ = text_to_path.get_text_width_height_descent(text.text, FontProperties(size=float(size)), False)
        before = {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor] * extent
        for along in (-before, extent - before):
            assert -1 <= x + along * math.cos(math.radians(angle)) <= width + 1, text.text
            assert -1 <= y + along * math.sin(math.radians(angle)) <= height + 1, text.text
    axes = root.find(".//*[@id='patch_2']/*")
    assert axes is not None
    heights = [float(y) for y in re.findall(r"[ML] \S+ (\S+)", axes.attrib["d"])]
    return max(heights) - min(heights)


@pytest.mark.slow
def test_figures_stay_readable_with_many_variants(runs: Path, tmp_path: Path) -> None:
    heights: dict[str, list[float]] = {}
    for count in (2, 20, 100):
        page = made([many(runs, tmp_path / f"runs{count}", count)], tmp_path / f"page{count}", "labels=[]")
        assert ("the best 7 of the other" in page) == (count > 2)
        drawn = sorted((tmp_path / f"page{count}" / "figures").glob("*.svg"))
        for file in drawn:
            heights.setdefault(file.name, []).append(axes_height(file.read_text()))
        assert len(drawn) >= 8
        curves = (tmp_path / f"page{count}" / "figures" / "charades-cd_test_ood_by_length.svg").read_text()
        assert len(re.findall(r"alpha=\S+<", curves)) == min(count, 8)
        assert len(set(re.findall(r"stroke: (#\w+); stroke-width: 1.5", curves))) == min(count, 8)
    for name, found in heights.items():
        assert min(found) >= found[0] / 2, name


def test_an_answer_is_held_against_the_annotated_window_that_it_matches_best(tmp_path: Path) -> None:
    told = {"video": "v", "query": "a person waves"}
    several = {"windows": [[0, 4], [4, 8], [0, 8]], "predictions": [[4, 7, 1], [0, 4, 0]]}
    records = [
        {**told, "query_id": "a", "duration": 10, **several},
        {**told, "query_id": "b", "duration": 20, "windows": [[5, 6]], "predictions": [[0, 2, 0.5]]},
    ]
    file = tmp_path / "test.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    answers = read_answers(file)
    assert answers.ids == ["a", "b"]
    assert answers.ious.tolist() == [0.75, 0.0]
    assert answers.first.tolist() == [[4, 7], [0, 2]]
    assert answers.truth.tolist() == [[4, 8], [5, 6]]
    assert answers.duration.tolist() == [10, 20]


@pytest.mark.slow
def test_the_memory_of_a_report_is_small_for_a_run_and_query(runs: Path, tmp_path: Path) -> None:
    queries = 20_000
    line = '{"query_id": "a query of its own, number %d", "video": "v", "duration": 30, "query": "a person sits"'
    rest = ', "windows": [[1.5, %d]], "predictions": [[2.0, %d, 0.5]]}\n'
    text = "".join((line + rest) % (i, 2 + i % 20, 3 + i % 17) for i in range(queries))

    def peak(count: int) -> int:
        place = many(runs, tmp_path / f"runs{count}", count)
        for folder in place.iterdir():
            (folder / "predictions" / "test_iid.jsonl").unlink()
            (folder / "predictions" / "test_ood.jsonl").write_text(text)
        return peak_memory(lambda: made([place], tmp_path / "page", "labels=[]"))

    assert peak(25) - peak(10) < 30 * queries * 15


def test_answers_are_read_as_they_were_scored(runs: Path) -> None:
    (run, *_), _ = find_runs([runs / "tea0"])
    for split in ("test_iid", "test_ood"):
        assert 100 * run.answers(split).ious.mean() == pytest.approx(run.metrics[f"test/{split}/mIoU"], abs=1e-3)


@pytest.mark.parametrize(
    "line",
    [
        '{"query_id": "0", "windows": [[0, 1]], "predictions": [], "duration": 3}',
        '{"query_id": "0", "windows": [], "predictions": [[0, 1, 1]], "duration": 3}',
        '{"query_id": "0", "predictions": [[0, 1, 1]], "duration": 3}',
        "[]",
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "test.jsonl"
    file.write_text(line + "\n")
    with pytest.raises(UserError, match="line 1: not a prediction"):
        read_answers(file)


def test_the_page_shows_itself_in_a_browser(runs: Path, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    made([runs], tmp_path)
    quiet = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"]
    command = [chromium, "--headless", "--no-sandbox", *quiet, f"--user-data-dir={tmp_path}/profile"]
    page = f"file://{tmp_path}/report.html"
    for width in (1200, 390):
        picture = tmp_path / f"{width}.png"
        started = time.monotonic()
        subprocess.run(
            [*command, f"--window-size={width},2400", f"--screenshot={picture}", page],
            check=True,
            capture_output=True,
            timeout=120,
        )
        assert time.monotonic() - started < 120
        from matplotlib.image import imread

        pixels = imread(picture)
        assert pixels.shape[1] == width
        # Figures and bars have colours; a page that did not load is white or grey.
        assert (np.ptp(pixels[..., :3], axis=2) > 0.3).sum() > 1000
    dom = subprocess.run([*command, "--dump-dom", page], check=True, capture_output=True, text=True, timeout=120).stdout
    assert dom.count("<svg") >= 7
    assert "test_ood" in dom
