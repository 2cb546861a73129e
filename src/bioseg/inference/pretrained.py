"""Pretrained models that are part of bioseg: a folder each under ``pretrained/``, opened by name.

A folder holds ``record.json`` (with the SHA-256 of the weights), ``best.safetensors`` in half precision, ``summary.json`` of
the test set, the chosen postprocessing, ``quality_model.json`` where quality is estimated, ``applicability.json`` (what it is
meant for) and the model card ``card.md``.
"""

import hashlib
import os
from pathlib import Path

from bioseg.model_file import SUFFIX
from bioseg.types import BiosegError

ROOT = Path(__file__).parents[1] / "pretrained"
PREFIX = "pretrained:"


def names() -> list[str]:
    """The names of all pretrained models, sorted."""
    return sorted(record.parent.name for record in ROOT.glob("*/record.json"))


def find(model: Path | str) -> Path:
    """The folder of a model, or the file of an exported one.

    Args:
        model: The name of a pretrained model (``nuclei``, or ``pretrained:nuclei`` to be explicit), a run folder, or a file; a text
            with a path separator (``./nuclei``), or a :class:`Path` to a folder that exists, is a folder.

    Raises:
        BiosegError: It is neither, or a name that a folder here has too.
    """
    name = str(model)
    if name.startswith(PREFIX):
        if name.removeprefix(PREFIX) in names():
            return ROOT / name.removeprefix(PREFIX)
        raise BiosegError(f"{name}: no such pretrained model; there are {', '.join(names())}")
    folder = Path(model)
    is_path = isinstance(model, Path) or any(mark and mark in name for mark in (os.sep, os.altsep))
    if folder.is_dir():
        if not is_path and name in names():
            raise BiosegError(f"{name}: is a pretrained model and a folder here; say {PREFIX}{name} or .{os.sep}{name}")
        return folder
    if folder.is_file() and (is_path or folder.suffix == SUFFIX):
        return folder
    if name in names():
        return ROOT / name
    raise BiosegError(
        f"{model}: no such model; give the folder that `bioseg train … --out` wrote, a file of `bioseg export`, or one of "
        f"{', '.join(names())}"
    )


def check(path: Path, digest: str) -> None:
    """Make sure that a file of a model is the one its record names.

    Raises:
        BiosegError: Its SHA-256 is another.
    """
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "none: the file is missing"
    if found != digest:
        raise BiosegError(f"{path}: SHA-256 is {found}, not {digest}; install bioseg again")
