"""A training step of each DETR, and of UniVTG and FlashVTG, against torch's own layers: as many of the same sizes.

    python -m benchmarks.detr_step

A step is forward, loss, backward and AdamW. The rival has the same layers, sequence lengths and passes through each
stack, and the sum of its output as its loss. A layer that reads another sequence counts as one of an encoder; what a
network has beside its transformer, and its losses, count for nothing in the rival, but for the convolutions over time
that UniVTG and FlashVTG have in a decoder's place: they are torch's in the rival, too.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from hydra.utils import instantiate
from torch import Tensor, nn

from benchmarks.paired import Step, compare
from src.build import compose
from src.data.batch import Batch, Labelled, Sample, collate
from src.data.records import Moment
from src.models.predictor import Predictor, Streams

CLIPS, WORDS = 75, 20
BOTH, TOKEN = CLIPS + WORDS, CLIPS + 1
CELLS = sum(CLIPS >> level for level in range(4))
HEADS, WIDTH, DROPOUT = 8, 1024, 0.1


@dataclass(frozen=True)
class Rival:
    """Stacks of encoder layers as (layers, length, passes), a decoder as (layers, memory's length, queries), or
    convolutions over time as (layers, length, kernel, stride); `hidden` is the size of all."""

    stacks: Sequence[tuple[int, int, int]]
    decoder: tuple[int, int, int] | None = None
    convolutions: Sequence[tuple[int, int, int, int]] = ()
    hidden: int = 256


RIVALS: dict[str, Rival] = {
    # Text to video and the encoder, each also with another query's words.
    "qd_detr": Rival([(4, TOKEN, 2)], (2, TOKEN, 10)),
    "moment_detr": Rival([(2, BOTH, 1)], (2, BOTH, 10)),
    # The same; dummies with words; sentences of words and of dummies; moments, inside and outside.
    "cg_detr": Rival(
        [(5, TOKEN, 2), (2, 45 + WORDS, 1), (1, WORDS + 1, 1), (1, 45 + 1, 1), (1, TOKEN, 2)], (3, CLIPS, 10)
    ),
    # Text to video, and the encoder twice.
    "tr_detr": Rival([(2, CLIPS, 1), (2, CLIPS, 2)], (2, CLIPS, 10)),
    # With feedback: clips read the words, another query's, and the words again; highlights of both, then moments.
    "task_weave": Rival([(2, CLIPS, 3), (2, CLIPS, 3)], (2, CLIPS, 10)),
    # Either reading of the words, and the encoder, each also with another query's; the sentence; words from clips.
    "mesm": Rival([(2, CLIPS, 2), (2, CLIPS, 2), (2, TOKEN, 2), (4, 1, 1), (2, WORDS, 1)], (2, CLIPS, 10)),
    "eatr": Rival([(3, BOTH, 1)], (3, BOTH, 10)),
    # Either way between clips and words, and the encoder, each also with another query's words.
    "uvcom": Rival([(3, CLIPS, 2), (3, WORDS, 2), (3, TOKEN, 2)], (3, CLIPS, 30)),
    # The encoder, also with another query's words.
    "bm_detr": Rival([(3, BOTH, 2)], (3, BOTH, 10)),
    # Two heads of three convolutions, of which the last is of one or two numbers.
    "univtg": Rival([(4, BOTH, 1)], convolutions=[(4, CLIPS, 3, 1)], hidden=1024),
    # Clips to dummies and words, and the encoder, each also with another query's; dummies with words. The pyramid, two
    # scorers, and a head whose second convolution is of two numbers.
    "flash_vtg": Rival(
        [(6, CLIPS, 2), (3, CLIPS, 2), (2, 40 + WORDS, 1)],
        convolutions=[
            (3, CLIPS, 2, 2),
            (2, CLIPS // 2, 2, 2),
            (1, CLIPS // 4, 2, 2),
            (2, CELLS, 5, 1),
            (1, CELLS, 3, 1),
        ],
    ),
}


def ground_truth(count: int) -> Batch:
    windows = [((float(i), i + 40.0),) for i in range(count)]
    moments = [Moment(str(i), str(i), "a query", window, 2.0 * CLIPS) for i, window in enumerate(windows)]
    unknown = torch.zeros(WORDS, dtype=torch.bool)
    sample = Sample("a query", 2.0 * CLIPS, torch.randn(CLIPS, 64), None, CLIPS, torch.zeros(WORDS, 1), unknown)
    return collate([Labelled(sample, moment, (0, 0)) for moment in moments])


def step_of(network: nn.Module, loss: Callable[[], Tensor]) -> Step:
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 0.1)
        optimizer.step()

    return step


def detr_step(name: str, count: int) -> Step:
    cfg = compose("train", f"predictor={name}", "predictor.network.streams=null")
    network: Predictor[Any] = instantiate(cfg.predictor.network, _convert_="all").build()
    batch = ground_truth(count)
    video, query = (torch.randn(count, length, network.hidden) for length in (CLIPS, WORDS))

    def loss() -> Tensor:
        inputs = batch.inputs
        output = network(Streams(video, inputs.snippet_mask, query, inputs.query_mask, inputs, progress=0.9))
        return torch.stack(list(network.losses(output, inputs, batch.truth, 0.9).values())).sum()

    return step_of(network, loss)


def torch_step(rival: Rival, count: int) -> Step:
    hidden, sizes = rival.hidden, (rival.hidden, HEADS, WIDTH, DROPOUT)
    network = nn.ModuleList()
    passes: list[Callable[[], Tensor]] = []

    def add(module: nn.Module, *inputs: Tensor, times: int = 1, **masks: Tensor) -> None:
        network.append(module)
        passes.extend([lambda: module(*inputs, **masks)] * times)

    def padding(length: int) -> Tensor:
        return torch.zeros(count, length, dtype=torch.bool)

    for layers, length, times in rival.stacks:
        stack = nn.TransformerEncoder(nn.TransformerEncoderLayer(*sizes, batch_first=True), layers)
        add(stack, torch.randn(count, length, hidden), times=times, src_key_padding_mask=padding(length))
    if rival.decoder is not None:
        layers, length, queries = rival.decoder
        decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(*sizes, batch_first=True), layers)
        contents, memory = (torch.randn(count, each, hidden) for each in (queries, length))
        add(decoder, contents, memory, memory_key_padding_mask=padding(length))
    for layers, length, kernel, stride in rival.convolutions:
        for _ in range(layers):
            convolution = nn.Conv1d(hidden, hidden, kernel, stride, padding=kernel // 2 if stride == 1 else 0)
            # What stands before a convolution is learned, so that it has a gradient to give.
            add(convolution, torch.randn(count, hidden, length, requires_grad=True))
    return step_of(network, lambda: torch.stack([each().sum() for each in passes]).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=30, help="pairs of steps")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--networks", nargs="+", choices=RIVALS, default=list(RIVALS))
    parser.add_argument("--processor-time", action="store_true", help="for one thread on a shared machine")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    for name in arguments.networks:
        rivals = {"nn.Transformer": torch_step(RIVALS[name], arguments.batch), name: detr_step(name, arguments.batch)}
        timings = compare(rivals, arguments.runs, arguments.processor_time)
        for rival, timing in timings.items():
            print(f"{rival:15}{timing}", flush=True)


if __name__ == "__main__":
    main()
