"""A training step of TEA's span network: what each lever gives, what the second branch costs, and what is left.

    python -m benchmarks.span_step

Batch 16, 128 snippets of 1024 numbers, 14 words and 128 narratives of 300, hidden 128: forward, losses, backward,
clipping and Adam. The levers are undone one by one, and all together, by putting the plain formulation of the same
equations in the place of ours; the golden tests hold ours to the published numbers.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.paired import Step, compare
from src.build import Parts
from src.data.batch import Batch, Labelled, Sample, collate
from src.data.records import Moment
from src.models import attention, dropout
from src.models.span import encoder, proposals, ranking
from tests.compose import compose

BATCH, SNIPPETS, WORDS, VIDEO, TEXT = 16, 128, 14, 1024, 300


def batch_of(count: int, device: str) -> Batch:
    generator = torch.Generator().manual_seed(0)
    samples = []
    for i in range(count):
        start = i % 40
        moment = Moment(str(i), str(i), "a query", ((float(start), start + 40.0),), float(SNIPPETS))
        sizes = ((SNIPPETS, VIDEO), (SNIPPETS, TEXT), (WORDS, TEXT))
        video, narrative, query = (torch.randn(*size, generator=generator) for size in sizes)
        unknown = torch.zeros(WORDS, dtype=torch.bool)
        sample = Sample(moment.query, moment.duration, video, narrative, SNIPPETS, query, unknown)
        samples.append(Labelled(sample, moment, (start, start + 39)))
    return collate(samples).to(device)


def step_of(batch: Batch, *overrides: str, compiled: bool = False, autocast: bool = False) -> Step:
    """A training step of the network that the overrides of conf/train.yaml select."""
    torch.manual_seed(0)
    network = Parts(compose(*overrides, config="train")).network.to(batch.inputs.query.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-4)
    forward: Any = torch.compile(network) if compiled else network
    device = batch.inputs.query.device.type

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=autocast):
            output = forward(batch.inputs)
            loss = torch.stack(list(network.predictor.losses(output, batch.inputs, batch.truth, 0.0).values())).sum()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return step


def plain_guides(video: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Every element's maximum over those on either side, through masks of (B, L, L, d)."""
    length = video.shape[1]
    every = torch.ones(length, length, dtype=torch.bool, device=video.device)
    sides = []
    for side in (every.tril(-1), every.triu(1)):
        seen = (side & mask[:, None])[..., None].expand(-1, -1, -1, video.shape[-1])
        best = video[:, None].expand(-1, length, -1, -1).masked_fill(~seen, -torch.inf).amax(dim=2)
        sides.append(best.masked_fill(best.isinf() | ~mask[..., None], 0.0))
    return sides[0], sides[1]


def all_pairs(mask: Tensor) -> proposals.Proposals:
    """Proposals for all N² pairs of cells, of which those with i > j are masked."""
    length = mask.sum(dim=1, keepdim=True)
    count = -(-mask.shape[1] // proposals.CELL)
    first, last = torch.cartesian_prod(*[torch.arange(count, device=mask.device)] * 2).T
    valid = (last * proposals.CELL < length) & (first <= last)
    end = torch.minimum((last + 1) * proposals.CELL, length) - 1
    span = torch.stack((first.expand_as(valid) * proposals.CELL, end), dim=-1)
    return proposals.Proposals(first, last, span * valid[..., None], valid, count)


def plain_dropout(x: Tensor, probability: float) -> Tensor:
    return F.dropout(x, probability)


Undo = Callable[[], contextlib.AbstractContextManager[Any]]


@contextlib.contextmanager
def no_lever() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for undo in LEVERS.values():
            stack.enter_context(undo())
        yield


@contextlib.contextmanager
def _plain_dropout() -> Iterator[None]:
    with mock.patch.object(dropout, "drop", plain_dropout), mock.patch.object(attention, "drop", plain_dropout):
        yield


LEVERS: dict[str, Undo] = {
    "running maxima": lambda: mock.patch.object(encoder, "content_guides", plain_guides),
    "valid proposals only": lambda: mock.patch.object(ranking, "propose", all_pairs),
    "one random number for four": _plain_dropout,
}


def without(undo: Undo, step: Step) -> Step:
    def undone() -> None:
        with undo():
            step()

    return undone


def product_rate(device: str) -> float:
    """FLOP/s of a matrix product of 2048, the best of ten."""
    matrix = torch.randn(2048, 2048, device=device)
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        matrix @ matrix
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * 2048**3 / best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="time torch.compile too")
    parser.add_argument("--bf16", action="store_true", help="time bfloat16 autocast too")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    batch = batch_of(arguments.batch, arguments.device)
    video_only = ("merger=none", "paragraph=none")
    ours = step_of(batch, *video_only)
    rivals: dict[str, Step] = {"video only": ours, "TEA": step_of(batch)}
    rivals |= {f"without {name}": without(undo, ours) for name, undo in LEVERS.items()}
    rivals["without any of them"] = without(no_lever, ours)
    if arguments.compile:
        rivals["video only, compiled"] = step_of(batch, *video_only, compiled=True)
        rivals["TEA, compiled"] = step_of(batch, compiled=True)
    if arguments.bf16:
        rivals["video only, bfloat16"] = step_of(batch, *video_only, autocast=True)
        rivals["TEA, bfloat16"] = step_of(batch, autocast=True)
    timings = compare(rivals, arguments.rounds)
    for name, timing in timings.items():
        print(f"{name:36}{timing}")
    for name, step in (("video only", ours), ("TEA", rivals["TEA"])):
        with FlopCounterMode(display=False) as counter:
            step()
        flops, rate = counter.get_total_flops(), product_rate(arguments.device)
        share = flops / timings[name].seconds / rate
        print(
            f"{name}: {flops / 1e9:.1f} GFLOP a step, {share:.0%} of the {rate / 1e9:.0f} GFLOP/s of a matrix product"
        )


if __name__ == "__main__":
    main()
