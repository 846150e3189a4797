"""What every network promises, whatever parts it is composed of: the parts are found in conf/, not listed here."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import pytest
import torch
import yaml
from omegaconf import DictConfig
from torch import Tensor

from src.build import Parts
from src.data.batch import Batch, Inputs, Labelled, collate
from src.errors import UserError
from src.models.method import Method
from src.models.network import Network
from src.models.predictor import Predictor
from src.moments import RankedMoments
from tests.compose import CONF, compose
from tests.models.samples import sample

TOP = 10
"""No fewer than a DETR has, so that it decides nothing which of two equal ones comes first."""


class Combination(NamedTuple):
    """A choice of each group that a network is made of."""

    predictor: str
    merger: str
    paragraph: str
    match: str

    def __str__(self) -> str:
        return "-".join(self)

    def parts(self) -> Parts:
        """The parts of a small network, none of them built yet."""
        return Parts(config(self))

    def network(self, seed: int = 0) -> Network:
        torch.manual_seed(seed)
        return self.parts().network


def config(combination: Combination) -> DictConfig:
    """As `compose` gives it, from parts that were composed once each."""
    whole = copy.deepcopy(small(combination.predictor))
    for group in ("merger", "paragraph", "match"):
        whole[group] = part(group, getattr(combination, group))
    return whole


SIZES = {"hidden": 16, "feed_forward": 32, "kernels": "[3]"}
"""Of a small network, where it has such sizes."""


SMALL = {
    **{"hidden": 16, "feed_forward": 32, "attention": 8, "samples": 32},
    **{"inputs": 16, "words": 16, "head": 8, "channels": 8, "position": 8, "pyramid": 16},
}
"""Of every size that networks have by one of these names."""


@cache
def small(predictor: str) -> DictConfig:
    network = compose(f"+predictor={predictor}").predictor.network
    sizes = [f"predictor.network.{name}={size}" for name, size in SMALL.items() if name in network]
    data = ["features.dim=12", "text.dim=10", "folder=."]
    return compose(f"predictor={predictor}", *sizes, *data, config="train")


@cache
def part(group: str, choice: str) -> DictConfig:
    return compose(f"{group}={choice}", "folder=.", config="train")[group]


def choices(group: str) -> list[str]:
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))


def has_sibling(predictor: str) -> bool:
    """Whether the predictor can have a paragraph branch, as its class says."""
    kind = type(Combination(predictor, "none", "none", "none").network().predictor)
    return kind.sibling is not Predictor.sibling


@cache
def names_network(group: str, choice: str) -> bool:
    return yaml.safe_load((CONF / group / f"{choice}.yaml").read_text())["network"] is not None


EVERY = [Combination(*names) for names in itertools.product(*map(choices, Combination._fields))]
SIBLINGS = {predictor: has_sibling(predictor) for predictor in choices("predictor")}


def refused(combination: Combination) -> bool:
    return names_network("paragraph", combination.paragraph) and not SIBLINGS[combination.predictor]


@cache
def reads_narratives(merger: str, paragraph: str) -> bool:
    """Whether a network of these parts reads narratives, whatever its predictor."""
    return Combination("emb", merger, paragraph, "none").parts().uses_narratives


def idle(combination: Combination) -> bool:
    """Whether the match has nothing to read."""
    return names_network("match", combination.match) and not reads_narratives(combination.merger, combination.paragraph)


REFUSED = [combination for combination in EVERY if refused(combination)]
BUILT = [combination for combination in EVERY if not refused(combination) and not idle(combination)]


READ = {"none": "video", "narrative_only": "narratives"}
"""What a predictor is given by a merger: of all others, both."""


def pairs(combination: Combination) -> set[tuple[tuple[str, str], ...]]:
    """Every two of its choices, each with its group; beside a predictor mergers that read the same count as one."""
    choices = combination._asdict()
    read = choices | {"merger": READ.get(combination.merger, "both")}
    predictor, *rest = read.items()
    return {(predictor, each) for each in rest} | set(itertools.combinations([*choices.items()][1:], 2))


def covering(combinations: list[Combination]) -> set[Combination]:
    """Few of the combinations, in which every two choices that go together do so at least once."""
    chosen, missing = set(), set().union(*map(pairs, combinations))
    while missing:
        best = max(combinations, key=lambda combination: len(pairs(combination) & missing))
        chosen.add(best)
        missing -= pairs(best)
    return chosen


COVERING = covering(BUILT)

every_network = pytest.mark.parametrize(
    "combination",
    [pytest.param(each, id=str(each), marks=() if each in COVERING else pytest.mark.slow) for each in BUILT],
)


def read(parts: Parts, samples: list[Labelled]) -> list[Labelled]:
    """The samples with nothing but what the network reads."""
    hidden: dict[str, None] = {}
    if not parts.uses_video:
        hidden["video"] = None
    if not parts.uses_narratives:
        hidden["narrative"] = None
    return [each._replace(sample=each.sample._replace(**hidden)) for each in samples]


def train_loss(network: Network, batch: Batch) -> Tensor:
    """The sum of the training losses, each of which must be a finite number."""
    terms = Method().losses(network.train(), batch)
    assert terms
    for name, term in terms.items():
        assert term.shape == (), name
        assert term.isfinite(), name
    return torch.stack(list(terms.values())).sum()


def rank(network: Network, inputs: Inputs, top: int = TOP) -> RankedMoments:
    with torch.no_grad():
        return network.eval().rank(inputs, top)


def assert_same_answer(ranked: RankedMoments, row: int, other: RankedMoments, other_row: int) -> None:
    """The answers to a query in two batches, of which the second may have more padding."""
    count, length = int(ranked.counts[row]), int(ranked.lengths[row])
    assert (other.counts[other_row], other.lengths[other_row]) == (count, length)
    scores, other_scores = ranked.scores[row, :count], other.scores[other_row, :count]
    torch.testing.assert_close(scores, other_scores, atol=1e-4, rtol=0)
    # Moments of equal scores (all of a DETR's, where there is one snippet) may change places.
    apart = (ranked.windows[row, :count, None] - other.windows[other_row, None, :count]).abs().amax(dim=-1)
    same = (apart <= 1e-3) & ((scores[:, None] - other_scores).abs() <= 1e-4)
    assert same.any(dim=0).all()
    assert same.any(dim=1).all()
    assert (ranked.saliency is None) == (other.saliency is None)
    if ranked.saliency is not None and other.saliency is not None:
        one, two = ranked.saliency[row, :length], other.saliency[other_row, :length]
        torch.testing.assert_close(one, two, atol=1e-4, rtol=0)


def assert_promises(ranked: RankedMoments, inputs: Inputs, top: int) -> None:
    """What `RankedMoments` says of itself."""
    windows, scores, counts = ranked.windows, ranked.scores, ranked.counts
    assert windows.shape == (len(inputs), windows.shape[1], 2)
    assert scores.shape == windows.shape[:2]
    assert windows.shape[1] <= top
    assert ((counts >= 1) & (counts <= windows.shape[1])).all()
    assert windows.isfinite().all()
    assert not scores.isnan().any()
    present = ranked.present
    assert scores[present].isfinite().all()
    assert (scores[~present] == -torch.inf).all()
    assert (windows[~present] == 0).all()
    for row, count in zip(scores, counts.tolist(), strict=True):
        assert (row[:count].diff() <= 0).all()
    start, end = windows.unbind(-1)
    assert ((start >= 0) & (start <= end) & (end <= inputs.duration[:, None])).all()
    assert torch.equal(ranked.lengths, inputs.length)
    if ranked.saliency is not None:
        assert ranked.saliency.shape == inputs.snippet_mask.shape
        assert ranked.saliency.isfinite().all()
        assert (ranked.saliency[~inputs.snippet_mask] == 0).all()


SAMPLES = [sample(1, 20, 5), sample(2, 1, 1), sample(3, 41, 2), sample(4, 9, 12)]
EXTREMES = [sample(5, 1, 4), sample(6, 12, 1), sample(7, 5, 300)]


@pytest.mark.parametrize("combination", REFUSED, ids=str)
def test_what_does_not_go_together_is_refused_with_what_to_choose(combination: Combination) -> None:
    with pytest.raises(UserError) as caught:
        combination.network()
    assert "choose paragraph=none" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_choice_is_part_of_some_network() -> None:
    for group in Combination._fields:
        assert {getattr(combination, group) for combination in BUILT} == set(choices(group))


@every_network
def test_shapes_are_known_without_memory(combination: Combination) -> None:
    with torch.device("meta"):
        outline = combination.parts().new_network().state_dict()
    assert all(weight.is_meta for weight in outline.values())
    shapes = {name: weight.shape for name, weight in combination.network().state_dict().items()}
    assert {name: weight.shape for name, weight in outline.items()} == shapes


@every_network
def test_it_learns_with_all_its_weights(combination: Combination) -> None:
    network = combination.network()
    train_loss(network, collate(read(combination.parts(), SAMPLES))).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@every_network
def test_a_query_has_one_answer_alone_and_in_any_batch(combination: Combination) -> None:
    network, samples = combination.network(), read(combination.parts(), SAMPLES)
    together = rank(network, collate(samples).inputs)
    for row, one in enumerate(samples):
        assert_same_answer(rank(network, collate([one]).inputs), 0, together, row)


@every_network
def test_what_stands_in_padding_never_takes_part(combination: Combination) -> None:
    network, inputs = combination.network(), collate(read(combination.parts(), SAMPLES)).inputs
    ranked, filled = rank(network, inputs), rank(network, with_filled_padding(inputs))
    for row in range(len(inputs)):
        assert_same_answer(ranked, row, filled, row)


def with_filled_padding(inputs: Inputs) -> Inputs:
    """The inputs with large numbers where nothing is valid."""

    def fill(x: Tensor | None, mask: Tensor) -> Tensor | None:
        return None if x is None else x.masked_fill(~mask[..., None], 1e3)

    video, narrative = fill(inputs.video, inputs.snippet_mask), fill(inputs.narrative, inputs.snippet_mask)
    query = fill(inputs.query, inputs.query_mask)
    assert query is not None
    return replace(inputs, video=video, narrative=narrative, query=query)


@every_network
def test_it_learns_nothing_from_padding(combination: Combination) -> None:
    batch = collate(read(combination.parts(), SAMPLES))
    network = without_chance(combination.network())
    losses = []
    for inputs in (batch.inputs, with_filled_padding(batch.inputs)):
        torch.manual_seed(0)
        losses.append(train_loss(network, Batch(inputs, batch.truth)))
    torch.testing.assert_close(*losses, atol=1e-4, rtol=1e-5)


def without_chance(network: Network) -> Network:
    """The network without dropout."""
    for module in network.modules():
        for name in ("dropout", "probability"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return network


@every_network
def test_one_snippet_one_word_and_many_words_are_learned_from(combination: Combination) -> None:
    network, batch = combination.network(), collate(read(combination.parts(), EXTREMES))
    train_loss(network, batch).backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in network.parameters())
    assert_promises(rank(network, batch.inputs), batch.inputs, TOP)
    for one in EXTREMES:
        train_loss(network, collate(read(combination.parts(), [one])))


@every_network
def test_it_learns_and_answers_in_half_the_precision(combination: Combination) -> None:
    network, batch = combination.network(), collate(read(combination.parts(), SAMPLES))
    with torch.autocast("cpu", torch.bfloat16):
        loss = train_loss(network, batch)
        ranked = rank(network, batch.inputs)
    loss.backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in network.parameters())
    assert_promises(ranked, batch.inputs, TOP)


@every_network
@pytest.mark.parametrize("top", [1, 40])
def test_answers_keep_their_promises(combination: Combination, top: int) -> None:
    network, inputs = combination.network(), collate(read(combination.parts(), SAMPLES)).inputs
    assert_promises(rank(network, inputs, top), inputs, top)


@every_network
def test_weights_make_another_network_the_same(combination: Combination) -> None:
    network, other = combination.network(), combination.network(seed=1)
    inputs = collate(read(combination.parts(), SAMPLES)).inputs
    other.load_state_dict(network.state_dict())
    one, two = rank(network, inputs), rank(other, inputs)
    for name in ("windows", "scores", "counts", "lengths"):
        assert torch.equal(getattr(one, name), getattr(two, name)), name
    assert (one.saliency is None) == (two.saliency is None)
    if one.saliency is not None and two.saliency is not None:
        assert torch.equal(one.saliency, two.saliency)
