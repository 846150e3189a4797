"""A training step of each DETR against torch's own nn.Transformer layers, as many of each kind and of the same sizes.

    python -m benchmarks.detr_step

A step is forward, loss, backward and AdamW. The rival has the same layers, sequence lengths and passes through each
stack, and the sum of its output as its loss. A layer that reads another sequence counts as one of an encoder; what a
network has beside its transformer, and its losses, count for nothing in the rival.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from hydra.utils import instantiate
from torch import Tensor, nn

from benchmarks.paired import Step, compare
from src.build import compose
from src.data.batch import Batch, Labelled, Sample, collate
from src.data.records import Moment
from src.models.detr.detr import DETR
from src.models.predictor import Streams

BATCH, CLIPS, WORDS = 32, 75, 20
BOTH, TOKEN = CLIPS + WORDS, CLIPS + 1
HIDDEN, HEADS, WIDTH, DROPOUT = 256, 8, 1024, 0.1


@dataclass(frozen=True)
class Rival:
    """Stacks of encoder layers as (layers, length, passes), and a decoder as (layers, memory's length, queries)."""

    stacks: Sequence[tuple[int, int, int]]
    decoder: tuple[int, int, int]


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
    "eatr": Rival([(3, BOTH, 1)], (3, BOTH, 10)),
    # Either way between clips and words, and the encoder, each also with another query's words.
    "uvcom": Rival([(3, CLIPS, 2), (3, WORDS, 2), (3, TOKEN, 2)], (3, CLIPS, 30)),
    # The encoder, also with another query's words.
    "bm_detr": Rival([(3, BOTH, 2)], (3, BOTH, 10)),
}


def ground_truth() -> Batch:
    windows = [((float(i), i + 40.0),) for i in range(BATCH)]
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


def detr_step(name: str) -> Step:
    cfg = compose("train", f"predictor={name}", "predictor.network.streams=null")
    network: DETR = instantiate(cfg.predictor.network, _convert_="all").build()
    batch = ground_truth()
    video, query = torch.randn(BATCH, CLIPS, HIDDEN), torch.randn(BATCH, WORDS, HIDDEN)

    def loss() -> Tensor:
        inputs = batch.inputs
        output = network(Streams(video, inputs.snippet_mask, query, inputs.query_mask, inputs, progress=0.9))
        return torch.stack(list(network.losses(output, inputs, batch.truth, 0.9).values())).sum()

    return step_of(network, loss)


def torch_step(rival: Rival) -> Step:
    sizes = (HIDDEN, HEADS, WIDTH, DROPOUT)
    stacks = [
        nn.TransformerEncoder(nn.TransformerEncoderLayer(*sizes, batch_first=True), layers)
        for layers, _, _ in rival.stacks
    ]
    layers, length, queries = rival.decoder
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(*sizes, batch_first=True), layers)
    network = nn.ModuleList([*stacks, decoder])
    memory, contents = torch.randn(BATCH, length, HIDDEN), torch.randn(BATCH, queries, HIDDEN)
    sequences = [(torch.randn(BATCH, long, HIDDEN), times) for _, long, times in rival.stacks]

    def loss() -> Tensor:
        total = decoder(contents, memory, memory_key_padding_mask=torch.zeros(BATCH, length, dtype=torch.bool)).sum()
        for stack, (sequence, times) in zip(stacks, sequences, strict=True):
            padding = torch.zeros(sequence.shape[:2], dtype=torch.bool)
            for _ in range(times):
                total = total + stack(sequence, src_key_padding_mask=padding).sum()
        return total

    return step_of(network, loss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=30, help="pairs of steps")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--networks", nargs="+", choices=RIVALS, default=list(RIVALS))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    for name in arguments.networks:
        timings = compare({"nn.Transformer": torch_step(RIVALS[name]), name: detr_step(name)}, arguments.runs)
        for rival, timing in timings.items():
            print(f"{rival:15}{timing}", flush=True)


if __name__ == "__main__":
    main()
