"""A training step of the zoo's networks at their published sizes, beside a plain formulation of the same equations.

    python -m benchmarks.zoo_step

Batch 16, 1024 numbers a snippet, 14 words of 300: forward, losses, backward, clipping and Adam. Plain is what stands in
a textbook: attention with its scores written out, packed LSTMs, statistics of valid places by their sums, dropout as
torch draws it; proposal maps are grids of all cells, convolved by torch. The golden tests hold ours to the published
numbers. Of the networks of maps what a step needs is told too, over maps of two sizes.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import math
from collections.abc import Iterator
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks.dense_maps import dense
from benchmarks.paired import Step, compare
from benchmarks.span_step import batch_of, plain_dropout, step_of, without
from src.models import attention, dropout
from src.models.normalisation import MaskedBatchNorm
from src.models.proposals.segments import canvas, runs
from src.models.recurrent import BidirectionalLSTM
from src.models.regression import lgi
from tests.memory import peak_memory

NETWORKS = {
    "vslnet": ("predictor=vslnet",),
    "vslnet_transformer": ("predictor=vslnet_transformer",),
    "lgi": ("predictor=lgi",),
    "drn": ("predictor=drn",),
    "qave": ("predictor=qave",),
    "tan_2d": ("predictor=tan_2d",),
    "tan_2d_pool": ("predictor=tan_2d_pool",),
    "ms_2d_tan": ("predictor=ms_2d_tan",),
    "dcm": ("predictor=dcm",),
}
"""The settings of each."""

VIDEO_ONLY = ("merger=none", "paragraph=none")

MAPS = ("tan_2d", "tan_2d_pool", "ms_2d_tan", "dcm")
SCALES = ((16, 8), (16, 8, 8))
"""Maps of 32 and of 64 frames: of every network, and for plain ones not too large."""


def plain_attend(
    query: Tensor, key: Tensor, value: Tensor, key_mask: Tensor | None, heads: int, dropout: float = 0.0
) -> Tensor:
    """`attend` with the scores written out."""
    query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    if key_mask is not None:
        scores = scores.masked_fill(~key_mask[:, None, None, :], -torch.inf)
    return (F.dropout(scores.softmax(dim=-1), dropout) @ value).transpose(1, 2).flatten(2)


def plain_lstm(module: BidirectionalLSTM, x: Tensor, mask: Tensor) -> Tensor:
    """`BidirectionalLSTM` over packed sequences."""
    length = mask.sum(dim=1)
    position = torch.arange(x.shape[1], device=x.device)
    reverse = (length[:, None] - 1 - position).clamp(min=0)[..., None]

    def run(lstm: nn.LSTM, sequence: Tensor) -> Tensor:
        packed = pack_padded_sequence(sequence, length.cpu(), batch_first=True, enforce_sorted=False)
        states, _ = nn.LSTM.forward(lstm, packed)
        return pad_packed_sequence(states, batch_first=True, total_length=x.shape[1])[0]

    right = run(module.backwards, x.gather(1, reverse.expand_as(x)))
    return torch.cat((run(module.forwards, x), right.gather(1, reverse.expand_as(right))), dim=-1)


def plain_norm(module: MaskedBatchNorm, x: Tensor, mask: Tensor) -> Tensor:
    """`MaskedBatchNorm` by sums over the valid places."""
    valid = mask[..., None].to(x.dtype)
    count = valid.sum()
    mean = (x * valid).sum(dim=(0, 1)) / count
    variance = ((x - mean) ** 2 * valid).sum(dim=(0, 1)) / count
    return ((x - mean) / (variance + 1e-5).sqrt() * module.weight + module.bias) * valid


@contextlib.contextmanager
def plainly() -> Iterator[None]:
    with (
        mock.patch.object(dropout, "drop", plain_dropout),
        mock.patch.object(attention, "drop", plain_dropout),
        mock.patch.object(attention, "attend", plain_attend),
        mock.patch.object(lgi, "attend", plain_attend),
        mock.patch.object(BidirectionalLSTM, "forward", plain_lstm),
        mock.patch.object(MaskedBatchNorm, "forward", plain_norm),
        dense(),
    ):
        yield


def rivals(ours: Step) -> dict[str, Step]:
    """The first is what the others are relative to: below 1, ours is faster than plain."""
    return {"plain": without(plainly, ours), "ours": ours}


def memory(step: Step) -> int:
    """The bytes that a step, not the first, needs for a while."""
    step()
    gc.collect()
    # What the process holds but does not use would hide what the step takes.
    ctypes.CDLL(None).malloc_trim(0)
    return peak_memory(step)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--processor-time", action="store_true", help="for one thread on a shared machine")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    batch = batch_of(arguments.batch, arguments.device)
    for name in arguments.networks:
        timings = compare(
            rivals(step_of(batch, *NETWORKS[name], *VIDEO_ONLY)), arguments.rounds, arguments.processor_time
        )
        print(f"{name:24}{timings['ours']}", flush=True)
    # A process that is forked off has none of the threads.
    torch.set_num_threads(1)
    batch = batch_of(1, "cpu")
    for name in (name for name in arguments.networks if name in MAPS):
        for scales in SCALES:
            sizes = ("predictor.network.hidden=64", f"predictor.network.scales={list(scales)}")
            ours = step_of(batch, *NETWORKS[name], *VIDEO_ONLY, *sizes)
            needed = {rival: memory(step) / 2**20 for rival, step in rivals(ours).items()}
            told = ", ".join(f"{rival} {size:.0f} MiB" for rival, size in needed.items())
            print(f"{name:24}{len(runs(scales))} of {canvas(scales)}² cells: {told}", flush=True)


if __name__ == "__main__":
    main()
