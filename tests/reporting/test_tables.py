"""Tables of runs, on values whose means are known."""

from __future__ import annotations

from pathlib import Path

from src.reporting.tables import Cell, Table, differences, latex, markdown, summarise, tidy
from src.runs.reading import Run


def run(variant: str, seed: int, **metrics: float) -> Run:
    """A run with metrics SPLIT__METRIC."""
    named = {f"test/{name.replace('__', '/')}": value for name, value in metrics.items()}
    return Run(Path("runs") / f"{variant}{seed}", {"data": {"title": "D"}, "seed": seed}, named, {}, variant)


RUNS = [
    run("ours", 0, ood__mIoU=10.0, ood__R1=30.0, iid__mIoU=50.0),
    run("ours", 1, ood__mIoU=14.0, ood__R1=30.0, iid__mIoU=52.0),
    run("theirs", 0, ood__mIoU=11.0, ood__R1=31.04),
]


def test_runs_that_differ_in_the_seed_alone_share_a_line() -> None:
    table = summarise(RUNS, ["mIoU", "R1"])
    assert table.columns == [("ood", "mIoU"), ("ood", "R1"), ("iid", "mIoU"), ("iid", "R1")]
    assert (table.splits, table.metrics) == (["ood", "iid"], ["mIoU", "R1"])
    assert table.cells == {
        "ours": {
            ("ood", "mIoU"): Cell((10.0, 14.0), best=True),
            ("ood", "R1"): Cell((30.0, 30.0)),
            ("iid", "mIoU"): Cell((50.0, 52.0), best=True),
        },
        "theirs": {("ood", "mIoU"): Cell((11.0,)), ("ood", "R1"): Cell((31.04,), best=True)},
    }
    assert table.of("iid").keys() == {"ours"}
    # One variant is not the best of several.
    assert not any(cell.best for cell in summarise(RUNS[:2], ["mIoU"]).cells["ours"].values())


def test_a_table_is_of_test_metrics_of_whole_splits_or_of_parts() -> None:
    some = Run(Path("r"), {}, {"val/mIoU": 1.0, "test/a/mIoU": 2.0, "test/a:NOUN/mIoU": 3.0, "test/a/R1": 4.0}, {}, "x")
    assert summarise([some], ["mIoU"]).columns == [("a", "mIoU")]
    assert summarise([some], ["mIoU"], parts=True).cells == {"x": {("a:NOUN", "mIoU"): Cell((3.0,))}}


def test_a_cell_has_the_mean_and_the_spread_over_seeds() -> None:
    assert [str(Cell(values)) for values in ((10.0, 14.0), (10.04,), (1.0, 2.0, 6.0))] == [
        "12.0 ± 2.8",
        "10.0",
        "3.0 ± 2.6",
    ]
    assert [str(Cell((value,), difference=True)) for value in (1.25, -3.0)] == ["+1.2", "-3.0"]


def test_differences_are_to_the_baseline_where_both_have_a_number() -> None:
    table = summarise(RUNS, ["mIoU", "R1"])
    assert differences(table, "ours") == {"theirs": {("ood", "mIoU"): -1.0, ("ood", "R1"): 31.04 - 30.0}}
    assert differences(table, "theirs").keys() == {"ours"}
    assert differences(table, "nobody") == {"ours": {}, "theirs": {}}


def test_markdown_has_a_line_for_each_variant_on_each_split() -> None:
    table = summarise(RUNS, ["mIoU", "R1"])
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in markdown(table, differences(table, "ours")).splitlines()
    ]
    assert [lines[0], *lines[2:]] == [
        ["split", "", "mIoU", "R1"],
        ["ood", "ours", "**12.0 ± 2.8**", "30.0 ± 0.0"],
        ["ood", "theirs", "11.0 (-1.0)", "**31.0** (+1.0)"],
        ["iid", "ours", "**51.0 ± 1.4**", "–"],
    ]


def test_latex_has_a_column_for_each_metric_of_each_split() -> None:
    table = Table(
        [("ood_1", "mIoU"), ("ood_1", "R1")],
        {"50% & more": {("ood_1", "mIoU"): Cell((10.0, 14.0), best=True)}, "x|y": {("ood_1", "R1"): Cell((1.0,))}},
    )
    assert latex(table).splitlines() == [
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r" & ood\_1 mIoU & ood\_1 R1 \\",
        r"\midrule",
        r"50\% \& more & \textbf{12.0 $\pm$ 2.8} & -- \\",
        r"x\textbar{}y & -- & 1.0 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_tidy_has_a_line_for_each_metric_of_each_run() -> None:
    some = Run(Path("=r"), {"data": {"title": "D"}, "seed": 3}, {"test/a/mIoU": 2.5, "val/R1@0.5": 1.0}, {}, "x")
    assert tidy([some]).splitlines() == [
        "folder,data,variant,seed,split,metric,value",
        "'=r,D,x,3,a,mIoU,2.5",
        "'=r,D,x,3,val,R1@0.5,1.0",
    ]
