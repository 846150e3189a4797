"""Hostile files at every door of the project, in a process whose file system, network and imports are watched.

python -m tests.runs.attacks FOLDER   makes the files in FOLDER, opens each, and prints what was tried and how it ended.
"""

from __future__ import annotations

import json
import pickle
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from omegaconf import DictConfig

from src.commands.evaluate import evaluate
from src.commands.prepare import convert_checkpoint
from src.commands.train import train
from src.data.layouts import NpyFolder, NpzFolder
from src.errors import UserError
from src.retrieval import Retriever
from src.runs.configuration import moved_here
from src.runs.reading import find_runs
from src.runs.trust import conf_folders
from tests.compose import compose
from tests.runs.hostile import VALUES, alterations, composed, within, write

SECRET = "TEA_SECRET"
"""An environment variable whose value nothing may carry off."""


class Pickled:
    """What runs a command as soon as it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return print, ("OWNED",)


_LARGE = ("wide", "deep", "a circle")
# Looked through for a while each, so under one key only.

PICKLE = b"cos\nsystem\n(S'touch OWNED'\ntR."
"""The same in pickle's own words, of a real command."""


class Watch:
    """Every event in which something is executed, imported, written, deleted or asked of another machine."""

    EVENTS = (
        *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty"),
        *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.truncate"),
        *("shutil.rmtree", "shutil.move", "shutil.copyfile", "os.putenv", "os.unsetenv", "os.kill"),
        *("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "urllib.Request"),
        # Not compile: it is how numpy reads the header of an array, of which nothing is executed.
        *("import", "exec", "ctypes.dlopen", "pickle.find_class"),
    )

    def __init__(self) -> None:
        self.on = False
        self.seen: list[str] = []
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in self.EVENTS:
            self.seen.append(f"{event} {arguments[:2]!r}")
        elif event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
            self.seen.append(f"open {arguments!r}")


def configurations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every hostile value under every key of a configuration, and every alteration of its own parts."""
    content = composed()
    for key in content:
        for name, value in VALUES.items():
            if key == "predictor" or name not in _LARGE:
                yield f"{key}: {name}", within(content, key, value)
    for name, (_, changed) in alterations(content).items():
        yield name, changed


def doors(folder: Path, cfg: DictConfig) -> Iterator[tuple[str, Callable[[], object]]]:
    """Files that are hostile as a whole, each with what opens it."""
    hostile = within(composed(), "optimizer", VALUES["a function of ours"])
    checkpoint = folder / "hostile.ckpt"
    write(checkpoint, hostile)
    pickles = {
        "a pickle that runs a command": PICKLE,
        "a pickle with a class of its own": pickle.dumps(Pickled()),
        "a zip with such a pickle": _zipped(folder / "zip", "archive/data.pkl"),
    }
    for name, content in {"a hostile configuration": checkpoint.read_bytes(), **pickles}.items():
        place = folder / name.replace(" ", "_")
        (place / "checkpoints").mkdir(parents=True)
        for file in (place.with_suffix(".ckpt"), place / "checkpoints" / "best.ckpt", place / "checkpoints/last.ckpt"):
            file.write_bytes(content)
        for what in (place, place.with_suffix(".ckpt")):
            kind = "run folder" if what.is_dir() else "checkpoint"
            yield f"Retriever.load, {kind}: {name}", lambda what=what: Retriever.load(what, cfg)
            yield f"evaluate, {kind}: {name}", lambda what=what: evaluate(_with(cfg, checkpoint=str(what)))
            yield f"ckpt_path, {kind}: {name}", lambda what=what: train(_with(cfg, ckpt_path=str(what)))
        for suffix in (".ckpt", ".safetensors", ".npz"):
            file = place.with_suffix(suffix)
            file.write_bytes(content)
            yield (
                f"convert_checkpoint, {suffix}: {name}",
                lambda file=file: convert_checkpoint(_with(cfg, convert_checkpoint=str(file))),
            )
    objects = np.array([Pickled()], dtype=object)
    np.save(folder / "own.npy", objects, allow_pickle=True)
    np.savez(folder / "own.npz", features=objects)
    yield "features, .npy: pickled objects", lambda: NpyFolder(str(folder), 4)("own")
    yield "features, .npz: pickled objects", lambda: NpzFolder(str(folder), 4)("own")
    for name, text in {
        "an object of Python": "!!python/object/apply:os.system ['touch OWNED']\n",
        "a module of Python": "a: !!python/module:antigravity\n",
        "hostile targets": yaml.safe_dump(dict.fromkeys(("optimizer", "data", "baseline"), VALUES["os.system"])),
    }.items():
        run = folder / name.replace(" ", "_")
        run.mkdir()
        (run / "status.json").write_text(json.dumps({"state": "finished"}))
        (run / "config.yaml").write_text(text)
        (run / "metrics.json").write_text("{}")
        (run / "environment.json").write_text("{}")
        yield f"report, a run folder: {name}", lambda run=run: find_runs([run])


def _zipped(path: Path, member: str) -> bytes:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(member, PICKLE)
        file.writestr("archive/version", "3\n")
    return path.read_bytes()


def _with(cfg: DictConfig, **settings: str) -> DictConfig:
    changed = cfg.copy()
    for key, value in settings.items():
        changed[key] = value
    return changed


def main() -> None:
    folder = Path(sys.argv[1])
    cfg = compose(
        f"folder={folder}/run", f"paths.outputs={folder}/outputs", "+convert_checkpoint=null", config="evaluate"
    )
    opened = list(doors(folder, cfg))
    read = list(configurations())
    watch = Watch()
    ends: dict[str, str] = {}

    def attempt(name: str, attack: Callable[[], object]) -> None:
        try:
            attack()
        except UserError as error:
            ends[name] = str(error)
            assert ends[name].isprintable(), name
            assert "weights_only" not in ends[name], "nobody is told how to run it"
            assert "unsafe" not in ends[name], "nobody is told how to run it"
        else:
            # A report builds nothing of a configuration: what it names is text.
            assert name.startswith("report"), f"{name} was taken"
            ends[name] = "read as text"

    # What a first use imports is imported: every door is opened once before the watch begins.
    for name, attack in opened:
        attempt(name, attack)
    attempt(read[0][0], lambda: moved_here(read[0][1], Path("hostile.ckpt"), cfg, (), conf_folders()))
    before = sorted(folder.rglob("*"))
    watch.on = True
    for name, attack in opened:
        attempt(name, attack)
    for name, content in read:
        attempt(name, lambda content=content: moved_here(content, Path("hostile.ckpt"), cfg, (), conf_folders()))
    watch.on = False
    assert not watch.seen, watch.seen
    assert sorted(folder.rglob("*")) == before
    for name, _ in opened:
        print(f"{name}\t{ends[name]}")
    print(f"{len(read)} configurations and {len(opened)} files were tried; none ran, imported, wrote or asked anything")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
