"""Configurations that a stranger's checkpoint could hold, each to be refused before anything of it is built."""

from __future__ import annotations

import copy
import encodings.latin_1  # noqa: F401  (what reading bytes from a checkpoint imports)
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from tests.compose import compose

DEEP = 200_000


def composed(*overrides: str) -> dict[str, Any]:
    """A configuration as a checkpoint holds it."""
    content: Any = OmegaConf.to_container(compose("folder=.", *overrides, config="train"))
    return content


def deep() -> dict[str, Any]:
    """Settings within settings, far beyond what Python's calls can follow."""
    content: dict[str, Any] = {"a": 1}
    for _ in range(DEEP):
        content = {"a": content}
    return content


def wide() -> list[Any]:
    """Few lists that hold each other so often that they cannot all be looked at."""
    content: list[Any] = [1]
    for _ in range(50):
        content = [content, content]
    return content


def circle() -> list[Any]:
    """A list that holds itself."""
    content: list[Any] = []
    content += [content, content]
    return content


_ABYSS = deep()
_RUN = "touch OWNED"
_GIT = ["-c", "alias.x=!touch OWNED", "x"]
_OWN = "src.models.tea.TEA"

VALUES: dict[str, Any] = {
    "os.system": {"_target_": "os.system", "command": _RUN},
    "os.system with _args_": {"_target_": "os.system", "_args_": [_RUN]},
    "posix.system": {"_target_": "posix.system", "_args_": [_RUN]},
    "Popen": {"_target_": "subprocess.Popen", "_args_": [["touch", "OWNED"]]},
    "run": {"_target_": "subprocess.run", "args": _RUN, "shell": True},
    "eval": {"_target_": "builtins.eval", "_args_": ["open('OWNED', 'w')"]},
    "exec": {"_target_": "builtins.exec", "_args_": ["open('OWNED', 'w')"]},
    "open": {"_target_": "builtins.open", "file": "OWNED", "mode": "w"},
    "__import__": {"_target_": "builtins.__import__", "name": "antigravity"},
    "import_module": {"_target_": "importlib.import_module", "name": "antigravity"},
    "run_path": {"_target_": "runpy.run_path", "path_name": "own.py"},
    "torch.load": {"_target_": "torch.load", "f": "own.pt", "weights_only": False},
    "torch.hub": {"_target_": "torch.hub.load", "repo_or_dir": "own/own", "model": "own"},
    "numpy.load": {"_target_": "numpy.load", "file": "own.npy", "allow_pickle": True},
    "joblib.load": {"_target_": "joblib.load", "filename": "own.joblib"},
    "pickle.loads": {"_target_": "pickle.loads", "_args_": ["own"]},
    "urlopen": {"_target_": "urllib.request.urlopen", "url": "http://127.0.0.1:9/"},
    "rmtree": {"_target_": "shutil.rmtree", "path": "."},
    "get_method": {"_target_": "hydra.utils.get_method", "path": "os.system"},
    "get_class": {"_target_": "hydra.utils.get_class", "path": "subprocess.Popen"},
    "get_object": {"_target_": "hydra.utils.get_object", "path": "os.system"},
    "instantiate": {"_target_": "hydra.utils.instantiate", "_args_": [{"_target_": "os.system", "command": _RUN}]},
    "a function of ours": {"_target_": "src.runs.folder._git", "_args_": _GIT},
    "a class of ours": {"_target_": _OWN},
    "a module of ours": {"_target_": "src.runs.trust.CONF.rmdir"},
    "partial": {"_target_": "os.system", "_partial_": True},
    "a target that is a number": {"_target_": 3},
    "a target that is no target": {"_target_": None},
    "a target of many digits": {"_target_": 10**6000},
    "a target that is a list": {"_target_": ["os.system"]},
    "a target that is a mapping": {"_target_": {"_target_": "os.system"}},
    "a target that is deep": {"_target_": _ABYSS},
    "a target elsewhere": {"_target_": "${name}"},
    "a target in pieces": {"_target_": "os.${name}"},
    "a target with a blank": {"_target_": " os.system"},
    "a target in a list": [1, [{"_target_": "os.system", "command": _RUN}]],
    "a target deep down": {"a": {"b": {"_target_": "os.system", "command": _RUN}}},
    "_args_ alone": {"_args_": [_RUN]},
    "_partial_ alone": {"_partial_": True},
    "_call_": {"_call_": "os.system"},
    "_recursive_": {"a": {"_recursive_": False}},
    "_convert_ that is deep": {"_convert_": _ABYSS},
    "oc.env": "${oc.env:HOME}",
    "oc.env with a default": "${oc.env:HOME,${paths.data}}",
    "oc.env within text": "a ${name} ${oc.env:HOME}",
    "oc.env in a list": ["${oc.env:HOME}"],
    "oc.env in a mapping": {"a": ["${oc.env:HOME}"]},
    "oc.decode": "${oc.decode:'[1]'}",
    "oc.create": "${oc.create:{_target_:os.system,command:touch OWNED}}",
    "oc.create of a part": "${oc.create:${name}}",
    "oc.dict.keys": "${oc.dict.keys:data}",
    "oc.dict.values": "${oc.dict.values:data}",
    "oc.deprecated": "${oc.deprecated:name}",
    "hydra": "${hydra:runtime.cwd}",
    "a resolver with blanks": "${ oc.env : HOME }",
    "a resolver on two lines": "${oc.env:\nHOME}",
    "resolvers in one another": "${oc.decode:${oc.env:HOME}}",
    "a resolver of a name elsewhere": "${${name}:HOME}",
    "a resolver in a key": "${data[${oc.env:HOME}]}",
    "never closed": "${oc.env:HOME",
    "never closed, without a resolver": "a ${name",
    "escaped": "\\${oc.env:HOME}",
    "escaped twice": "\\\\${oc.env:HOME}",
    "a dollar that others complete": "${name}$",
    "a dollar before a brace from elsewhere": "$${name}",
    "a dollar alone": "$",
    "code of a model": {"trust_remote_code": True},
    "code of a model, deep down": {"a": [{"trust_remote_code": False}]},
    "a key with an interpolation": {"${name}": 1},
    "a key with a resolver": {"${oc.env:HOME}": 1},
    "a key with a dollar": {"$": 1},
    "a key that is a number": {1: 2},
    "a key of many digits": {10**6000: 2},
    "a key that is nothing": {None: 2},
    "a key that is true": {True: 2},
    "bytes": b"os.system",
    "a tensor": torch.zeros(1),
    "a set": {1, 2},
    "deep": _ABYSS,
    "wide": wide(),
    "a circle": circle(),
}
"""What may stand nowhere in a configuration, whatever the key."""


def within(content: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """The configuration with a value beside what a key holds, or in its place where it holds no settings."""
    changed = dict(content)
    held = changed.get(key)
    changed[key] = {**copy.deepcopy(held), "own": value} if isinstance(held, dict) else value
    return changed


def _changed(content: dict[str, Any], dotted: str, **more: Any) -> dict[str, Any]:
    changed: dict[str, Any] = copy.deepcopy(content)
    node = changed
    for key in dotted.split("."):
        node = node[key]
    node.update(more)
    return changed


def alterations(content: dict[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """By name: the key that is at fault, and the configuration with one of its own parts altered."""
    network, merger, optimizer = "predictor.network", "merger.network", "optimizer"
    own, other = content["merger"]["network"]["_target_"], content["predictor"]["network"]["_target_"]
    changes: dict[str, tuple[str, dict[str, Any]]] = {
        "_args_ on a target of ours": (network, {"_args_": [1]}),
        "a partial target made whole": (merger, {"_partial_": False}),
        "a whole target made partial": (network, {"_partial_": True}),
        "_recursive_ on a target of ours": (network, {"_recursive_": False}),
        "_convert_ on a target of ours": (optimizer, {"_convert_": "object"}),
        "_call_ on a target of ours": (optimizer, {"_call_": "x"}),
        "a target of another group": (network, {"_target_": own}),
        "a target of another group, whole": (merger, {"_target_": other}),
        "a trainer for an optimizer": (optimizer, {"_target_": "lightning.Trainer"}),
        "a target whose partial is elsewhere": (merger, {"_partial_": "${test}"}),
        "a target without what is beside it": (optimizer, {"_target_": "torch.optim.Optimizer.__init__"}),
    }
    found = {name: (key, _changed(content, key, **more)) for name, (key, more) in changes.items()}
    for key in ("_target_", "_args_", "_partial_", "_recursive_", "_own_"):
        found[f"{key} of the whole"] = (key, content | {key: "os.system"})
    found["a key of the whole with an interpolation"] = ("${name}", content | {"${name}": 1})
    found["a key of the whole that is a number"] = ("a key that is not a string", {**content, 7: 1})
    joined = content | {"name": "$", "seed": "${name}{oc.env:HOME}"}
    found["an interpolation in pieces"] = ("name", joined)
    return found


def write(path: Path, content: Any) -> None:
    """A checkpoint with this configuration, however deep it is nested."""
    torch.save({"state_dict": {}, "configuration": {"composed": "HERE", "resolved": {}}, "progress": 1.0}, path)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    here = b"X\x04\x00\x00\x00HERE"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for name, held in members.items():
            if name.endswith("/data.pkl"):
                assert held.count(here) == 1
                held = held.replace(here, _pickled(content))
            file.writestr(name, held)


def _pickled(content: Any) -> bytes:
    """Pickle's own words for a value, written without calls within calls."""
    if isinstance(content, dict) and len(content) == 1 and next(iter(content)) == "a":
        opened, closed = 0, b"s"
        while isinstance(content, dict) and list(content) == ["a"]:
            opened, content = opened + 1, content["a"]
        return b"}X\x01\x00\x00\x00a" * opened + _pickled(content) + closed * opened
    if isinstance(content, dict):
        return b"}" + b"".join(_pickled(key) + _pickled(value) + b"s" for key, value in content.items())
    if isinstance(content, list) and not any(each is content for each in content) and len(content) != 2:
        return b"](" + b"".join(_pickled(each) for each in content) + b"e"
    # Protocol 2 without its first and last words: places in the memo do not clash, as nothing refers back to them
    # from outside.
    return pickle.dumps(content, protocol=2)[2:-1]
