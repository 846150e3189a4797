"""The models as a table for a terminal, one of them in full, and all of them as a page of Markdown."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from src.errors import UserError
from src.tables import pipes, plain
from src.zoo.models import Measured, Model, Paper, Score, list_models, list_papers

WIDTH = 100
"""Characters of a line in a terminal."""

METRICS = (
    *(f"R{top}@{iou}" for top in (1, 5) for iou in (0.1, 0.3, 0.5, 0.7)),
    *("mIoU", "mAP", "mAP@0.5", "mAP@0.75", "HL mAP", "HIT@1"),
)
"""Of scores, in their order; those that a table has no number of are left out."""


def overview() -> str:
    """A line a model: whose it is, its size, the first of its published scores, and of ours."""
    lines = [["model", "paper", "size", "features", "R1@.5/.7", "published on", "ours"]]
    for model in list_models():
        paper = model.paper
        who = paper.authors if paper.year is None else f"{paper.authors.split(',')[0]} {paper.year}"
        ours = _recalls(model.ours[:1], 1)
        lines.append([_choice(model), who, _size(model), *_first_published(model, 1), ours])
    more = (
        "R1@.5/.7 is at an IoU of 0.5 and 0.7; ours is on other data. about=MODEL tells everything of one: every score "
        "with its data and source, how the epoch was chosen, what trains it here."
    )
    return "\n".join([plain(lines, left=(0, 1, 3, 5)), "", *textwrap.wrap(more, WIDTH)])


def about(name: str) -> str:
    """Everything of the models of a name: a predictor, and the training method that may bear the same.

    Raises:
        UserError: there is none of that name.
    """
    models = list_models()
    found = [model for model in models if model.name == name]
    if not found:
        near = difflib.get_close_matches(name, [model.name for model in models], 1)
        raise UserError(f"about={name}: there is no such model" + (f": did you mean {near[0]}?" if near else ""))
    return _in_full(found)


def page() -> str:
    """All models as a page of Markdown: a table of them, then a section for each paper."""
    lines = [["model", "paper", "parameters", "features", "R1@0.5/0.7", "published on", "measured here on"]]
    for model in list_models():
        paper = f"[{model.paper.name}](#{model.paper.name.lower()}), {model.paper.place}"
        ours = ", ".join(dict.fromkeys(f"`{measured.data}`" for measured in model.ours))
        lines.append([f"`{_choice(model)}`", paper, _size(model), *_first_published(model, 2), ours])
    return "\n".join([_HEAD, pipes(lines), *(_section(paper) for paper in list_papers())]) + "\n"


_HEAD = """\
<!-- Made by python -m src.models output=docs/models.md: change src/zoo/papers, then run it. -->
# Models

Every predictor of `conf/predictor` and training method of `conf/method`, with what is published of it.

    python -m src.models
    python -m src.models about=qd_detr

print the first table, and everything of one model; in Python `from src.zoo import list_models`.

- **Parameters** are all that is learned when the model is trained by its first command below, without narratives:
  counted on the network that it builds, for video and text features of the sizes that stand beside.
- **R1@0.5/0.7** is of the first row of the model's published scores, and the features are those it was published with.
  Rows are not to be compared with each other: they differ in features, splits, and in how the epoch was chosen.
- **Published scores** are in percent, as their source gives them; what no source could be read for is left out.
  `HL mAP` and `HIT@1` are of highlights at least very good. R5 is told by `about=`. TEA's tables are in `experiments/`.
- **Golden numbers** are those that the authors' code gives on random weights: a test holds the network here to them.
- **Measured here** is what runs of this project gave, on other data than the published scores, and where that is small
  also with a smaller network.

TEA itself is `merger=concat_mlp paragraph=query` around `predictor=emb`, and around others:
[Table 2](../experiments/table2/README.md) and the [other experiments](../experiments/README.md). Where released code
differs from what is here: [reproduction](reproduction.md).
"""


def _section(paper: Paper) -> str:
    lines = [["model", "parameters", "video", "text", "golden numbers", "trained by `python -m src.train` with"]]
    for model in paper.models:
        sizes = [f"{model.parameters:,}", str(model.video or ""), str(model.text)]
        golden = ", ".join(f"`{file}`" for file in model.golden)
        golden += f" ([test](../{model.test}))" if model.test else ""
        lines.append([f"`{_choice(model)}`", *sizes, golden, "<br>".join(f"`{words}`" for words in model.train)])
    arxiv = f" [arXiv {paper.arxiv}](https://arxiv.org/abs/{paper.arxiv})." if paper.arxiv else ""
    code = f" Code: <{paper.code}>." if paper.code else ""
    parts = [f"\n## {paper.name}\n\n{_cited(paper)}.{arxiv}{code}\n", pipes(lines)]
    if paper.published:
        parts.append(f"\nPublished:\n\n{pipes(_scores(paper.published))}")
    parts.append(f"\n**How its published number was chosen.** {paper.chosen}")
    for model in paper.models:
        if model.ours:
            parts.append(f"\nMeasured here, `{_choice(model)}`:\n\n{pipes(_measurements(model.ours))}")
    return "\n".join(parts)


def _scores(published: Sequence[Score]) -> list[list[str]]:
    metrics = _metrics(published)
    variants = any(score.of for score in published)
    lines = [["data", "features", *(["model"] if variants else []), *metrics, "source"]]
    for score in published:
        variant = [f"`{score.of}`" if score.of else ""] if variants else []
        values = _values(score.scores, metrics)
        lines.append([f"`{score.data}` {score.split}", score.features, *variant, *values, score.source])
    return lines


def _measurements(ours: Sequence[Measured]) -> list[list[str]]:
    metrics = _metrics(ours)
    lines = [["data", *metrics, "runs", "source"]]
    for measured in ours:
        file = f"[{measured.line}](../experiments/{measured.file})"
        values = _values(measured.scores, metrics)
        lines.append([f"`{measured.data}` {measured.split}", *values, str(measured.runs), file])
    return lines


def _in_full(models: Sequence[Model]) -> str:
    """Everything of models of one paper."""
    paper = models[0].paper
    cited = _cited(paper) + (f", arXiv {paper.arxiv}" if paper.arxiv else "")
    lines = [paper.name]
    for what, said in {"paper": cited, "code": paper.code, "chosen": paper.chosen}.items():
        lines += _filled(f"  {what:<8}", said or "")
    for model in models:
        sizes = f"text of {model.text}" if model.video is None else f"video of {model.video} and text of {model.text}"
        lines += ["", f"  {model.group}={model.name}", f"    {model.parameters:,} parameters, for {sizes} numbers"]
        if model.test:
            lines += _filled("    golden numbers: ", f"{', '.join(model.golden)} ({model.test})")
        lines += ["    trained by python -m src.train with", *(f"      {words}" for words in model.train)]
    published = [score for score in paper.published if any(score in model.published for model in models)]
    ours = [measured for model in models for measured in model.ours]
    return "\n".join([*lines, *_told("published", published), *_told("ours", ours)])


def _told(title: str, found: Sequence[Score | Measured]) -> Iterator[str]:
    """Scores under a title, each with where it is from; nothing where there are none."""
    yield from ["", f"  {title}"] if found else []
    for each in found:
        yield from _filled("    ", _origin(each))
        yield from _filled("      ", _listed(each.scores))


def _origin(found: Score | Measured) -> str:
    if isinstance(found, Score):
        return ", ".join(filter(None, [f"{found.data} {found.split}", found.features, found.source]))
    return f"{found.data} {found.split}, {found.runs} runs, experiments/{found.file}: {found.line}"


def _filled(first: str, text: str) -> list[str]:
    """A text in lines that all stand as far in as the first begins."""
    indent = " " * len(first)
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False)


def _choice(model: Model) -> str:
    """How a model is chosen on the command line: predictors by their name."""
    return model.name if model.group == "predictor" else f"{model.group}={model.name}"


def _cited(paper: Paper) -> str:
    return ", ".join([paper.authors, *([f"{paper.venue} {paper.year}"] if paper.venue else [])])


def _size(model: Model) -> str:
    return f"{model.parameters / 1e6:.{0 if model.parameters > 1e7 else 2}f}M"


def _first_published(model: Model, decimals: int) -> list[str]:
    """The features, R@1 and place of the first of its published scores."""
    place = [(first.features, f"{first.data} {first.split}") for first in model.published[:1]]
    features, where = place[0] if place else ("", "")
    return [features, _recalls(model.published[:1], decimals), where]


def _recalls(found: Sequence[Score | Measured], decimals: int) -> str:
    """R@1 at an IoU of 0.5 and 0.7 of one or no score."""
    pairs = [_values(each.scores, ("R1@0.5", "R1@0.7"), decimals) for each in found]
    return "".join("/".join(value or "–" for value in pair) for pair in pairs)


def _metrics(found: Iterable[Score | Measured]) -> list[str]:
    """The columns that fit on a page: all but R5, of which few papers tell."""
    named = {metric for each in found for metric in each.scores}
    return [metric for metric in METRICS if metric in named and not metric.startswith("R5")]


def _values(scores: Mapping[str, float], metrics: Iterable[str], most: int = 2) -> list[str]:
    """The scores by `metrics` with as many decimals as any of them is known to, at most so many."""
    decimals = min(most, max(len(str(value).partition(".")[2]) for value in scores.values()))
    return [f"{scores[metric]:.{decimals}f}" if metric in scores else "" for metric in metrics]


def _listed(scores: Mapping[str, float]) -> str:
    metrics = [metric for metric in METRICS if metric in scores]
    # What belongs together is not parted at the end of a line.
    return "  ".join(
        f"{metric}\N{NO-BREAK SPACE}{value}" for metric, value in zip(metrics, _values(scores, metrics), strict=True)
    )
