"""What a training step of each predictor of conf/sweep/zoo.yaml costs, on the data of an experiment.

python -m experiments.zoo.steps [SETTING ...]   of python -m src.train, otherwise +experiment=charades_clip

One thread; a step is forward, losses, backward, clipping and the optimizer. Memory is what a step needs for a while
beside weights, optimizer and batch. Lines are those of the network's own file, without blank ones and docstrings.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import process_time

import torch
import yaml
from hydra.utils import instantiate
from torch import nn

from benchmarks.zoo_step import memory
from src.build import Parts, compose
from src.data.batch import Batch
from src.places import CONF

STEPS = 5


def main(settings: Sequence[str]) -> None:
    torch.set_num_threads(1)
    params = yaml.safe_load((CONF / "sweep/zoo.yaml").read_text())["hydra"]["sweeper"]["params"]
    print("| predictor | parameters | s a step | memory of a step | lines of its file |\n|---|---|---|---|---|")
    for name in params["predictor"].split(","):
        overrides = settings or ["+experiment=charades_clip"]
        parts = Parts(compose("train", *overrides, "+sweep=zoo", f"predictor={name}", "seed=0"))
        batch: Batch = next(iter(parts.data().train_dataloader()))
        weights = sum(each.numel() for each in parts.network.parameters())
        taken, needed = cost(parts, batch)
        own = inspect.getsourcefile(type(parts.network.predictor))
        assert own is not None
        print(
            f"| {name} | {weights / 1e6:.1f} M | {taken:.2f} | {needed / 2**20:.0f} MiB | {lines(Path(own))} |",
            flush=True,
        )


def cost(parts: Parts, batch: Batch) -> tuple[float, int]:
    """The processor's seconds of a step, the median of `STEPS` after a first one, and the bytes that it needs."""
    network, inputs = parts.network.train(), batch.inputs.full()
    optimizer = instantiate(parts.cfg.optimizer)(network.parameters())

    def step() -> None:
        optimizer.zero_grad()
        losses = network.predictor.losses(network(inputs), inputs, batch.truth, 0.0)
        torch.stack(list(losses.values())).sum().backward()
        nn.utils.clip_grad_norm_(network.parameters(), parts.cfg.trainer.gradient_clip_val)
        optimizer.step()

    step()
    taken = []
    for _ in range(STEPS):
        started = process_time()
        step()
        taken.append(process_time() - started)
    return median(taken), memory(step)


def lines(file: Path) -> int:
    """The lines of a file that hold code or comments."""
    text = file.read_text(encoding="utf-8")
    told: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            told |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return sum(bool(line.strip()) and number not in told for number, line in enumerate(text.splitlines(), 1))


if __name__ == "__main__":
    main(sys.argv[1:])
