"""What a run's numbers rest on: the code and the machine that made them, and digests of the data that were read."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # which would import torch into commands that only say what is wrong
    from src.data.datamodule import MomentDataModule
    from src.data.records import Moment

PACKAGES = ("torch", "lightning", "torchmetrics", "transformers", "hydra-core", "h5py", "numpy")

LARGEST_PATCH = 1 << 20
"""Letters of changes that are kept, which is more than anybody writes."""

_PROJECT = Path(__file__).parents[2]
_CODE = ("src", "conf")


class Code(NamedTuple):
    """The code of this project as it runs.

    Attributes:
        said: its `commit`, None outside a repository, and whether it was `changed` since.
        patch: what was changed and what is new in src and conf, as `git apply` takes it, if it is of a size to keep.
    """

    said: dict[str, Any]
    patch: str


def code(project: Path = _PROJECT) -> Code:
    """The commit of the repository at `project`, and what was changed or added since."""

    def git(*arguments: str, success: Sequence[int] = (0,)) -> str | None:
        """What git says; None where it fails."""
        try:
            done = subprocess.run(["git", *arguments], cwd=project, capture_output=True, check=False, timeout=10)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.decode("utf-8", "surrogateescape") if done.returncode in success else None

    # An environment that lies in somebody's own repository is no part of it.
    if git("ls-files", "--error-unmatch", str(Path(__file__).relative_to(_PROJECT))) is None:
        return Code({"commit": None, "changed": False}, "")
    new = (git("ls-files", "--others", "--exclude-standard", "-z", "--", *_CODE) or "").split("\0")[:-1]
    # A new file has no difference to HEAD but one to nothing, of which git says so by exit status 1.
    added = [git("diff", "--binary", "--no-index", "--", os.devnull, file, success=(0, 1)) or "" for file in new]
    patch = "".join([git("diff", "--binary", "HEAD", "--", *_CODE) or "", *added])
    changed = bool(new or git("status", "--porcelain", "--untracked-files=no"))
    head = git("rev-parse", "HEAD")
    small = len(patch) <= LARGEST_PATCH
    return Code({"commit": head and head.strip(), "changed": changed}, patch if small else "")


def environment() -> dict[str, Any]:
    """What a run runs on: its command, versions and machine."""
    import torch

    return {
        "command": sys.argv,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "machine": {
            "system": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        },
    }


def data_read(data: MomentDataModule) -> dict[str, Any]:
    """Digests of the annotations of every split, and what each store says that it was made of.

    A store says by digest which narratives, sentences or feature files it was made of, and with which settings.
    """
    splits = {"train": data.train.moments, "val": data.val.moments}
    splits |= {name: dataset.moments for name, dataset in data.tests.items()}
    stores = {name: store.made_by for name, store in data.train.stores._asdict().items() if store is not None}
    return {"annotations": annotation_digests(splits), "stores": stores}


def annotation_digests(splits: Mapping[str, Sequence[Moment]]) -> dict[str, str]:
    """A digest of each split's moments, as they are learned from and scored against."""
    found = {}
    for split, moments in splits.items():
        seen = hashlib.sha256()
        for moment in moments:
            seen.update(f"{moment!r}\n".encode("utf-8", "backslashreplace"))
        found[split] = seen.hexdigest()
    return found
