"""A training step of the zoo's networks at their published sizes, beside a plain formulation of the same equations.

    python -m benchmarks.zoo_step

Batch 16, 1024 numbers a snippet, 14 words of 300: forward, losses, backward, clipping and Adam. Plain is what stands in
a textbook: attention with its scores written out, packed LSTMs, statistics of valid places by their sums, dropout as
torch draws it. The golden tests hold ours to the published numbers.
"""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Iterator
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks.paired import compare
from benchmarks.span_step import batch_of, plain_dropout, step_of, without
from src.models import attention, dropout
from src.models.normalisation import MaskedBatchNorm
from src.models.recurrent import BidirectionalLSTM
from src.models.regression import lgi

NETWORKS = {
    "vslnet": ("predictor=vslnet",),
    "vslnet_transformer": ("predictor=vslnet_transformer",),
    "lgi": ("predictor=lgi",),
    "drn": ("predictor=drn",),
    "qave": ("predictor=qave",),
}
"""The settings of each."""


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
    ):
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    batch = batch_of(arguments.batch, arguments.device)
    for name in arguments.networks:
        ours = step_of(batch, *NETWORKS[name], "merger=none", "paragraph=none")
        # The first is what the others are relative to: below 1, ours is faster than plain.
        timings = compare({"plain": without(plainly, ours), "ours": ours}, arguments.rounds)
        print(f"{name:24}{timings['ours']}", flush=True)


if __name__ == "__main__":
    main()
