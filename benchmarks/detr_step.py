"""A training step of QD-DETR and Moment-DETR against torch's own nn.Transformer of the same layers and sizes.

    python -m benchmarks.detr_step

A step is forward, loss, backward and AdamW. nn.Transformer has as many layers of each kind, the same sequence lengths,
and the sum of its output as its loss; where QD-DETR encodes a batch twice (its negative pairs), so does it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.paired import Step, compare
from src.data.batch import Batch, Labelled, Sample, collate
from src.data.records import Moment
from src.models.detr.detr import DETRSettings, Weights
from src.models.detr.moment_detr import MomentDETRSettings
from src.models.detr.qd_detr import QDDETRSettings
from src.models.predictor import Streams

BATCH, CLIPS, WORDS, QUERIES = 32, 75, 20, 10
HIDDEN, HEADS, LAYERS, WIDTH, DROPOUT = 256, 8, 2, 1024, 0.1


def ground_truth() -> Batch:
    windows = [((float(i), i + 40.0),) for i in range(BATCH)]
    moments = [Moment(str(i), str(i), "a query", window, 2.0 * CLIPS) for i, window in enumerate(windows)]
    unknown = torch.zeros(WORDS, dtype=torch.bool)
    sample = Sample("a query", 2.0 * CLIPS, None, None, CLIPS, torch.zeros(WORDS, 1), unknown)
    return collate([Labelled(sample, moment, (0, 0)) for moment in moments])


def step_of(network: nn.Module, loss: Callable[[], Tensor]) -> Step:
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 0.1)
        optimizer.step()

    return step


def detr_step(kind: type[DETRSettings]) -> Step:
    network = kind(
        hidden=HIDDEN,
        heads=HEADS,
        layers=LAYERS,
        feed_forward=WIDTH,
        queries=QUERIES,
        dropout=DROPOUT,
        input_dropout=0.5,
        streams=None,
        max_windows=5,
        weights=Weights(),
    ).build()
    batch = ground_truth()
    video, query = torch.randn(BATCH, CLIPS, HIDDEN), torch.randn(BATCH, WORDS, HIDDEN)

    def loss() -> Tensor:
        inputs = batch.inputs
        output = network(Streams(video, inputs.snippet_mask, query, inputs.query_mask, inputs, progress=0.0))
        return torch.stack(list(network.losses(output, inputs, batch.truth, 0.0).values())).sum()

    return step_of(network, loss)


def torch_step(encoder_layers: int, length: int, encodings: int) -> Step:
    network = nn.Transformer(HIDDEN, HEADS, encoder_layers, LAYERS, WIDTH, DROPOUT, batch_first=True)
    sequence, queries = torch.randn(BATCH, length, HIDDEN), torch.randn(BATCH, QUERIES, HIDDEN)
    padding = torch.zeros(BATCH, length, dtype=torch.bool)

    def loss() -> Tensor:
        total = network(sequence, queries, src_key_padding_mask=padding, memory_key_padding_mask=padding).sum()
        for _ in range(encodings - 1):
            total = total + network.encoder(sequence, src_key_padding_mask=padding).sum()
        return total

    return step_of(network, loss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=30, help="pairs of steps")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    rivals = {
        # Clips and the global token; the text-to-video stage counts as encoder layers.
        "QD-DETR": (detr_step(QDDETRSettings), torch_step(2 * LAYERS, CLIPS + 1, encodings=2)),
        "Moment-DETR": (detr_step(MomentDETRSettings), torch_step(LAYERS, CLIPS + WORDS, encodings=1)),
    }
    for name, (ours, theirs) in rivals.items():
        timings = compare({"nn.Transformer": theirs, name: ours}, arguments.runs)
        for rival, timing in timings.items():
            print(f"{rival:15}{timing}")


if __name__ == "__main__":
    main()
