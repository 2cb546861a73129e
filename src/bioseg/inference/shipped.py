"""Models that come with bioseg: a folder each under ``shipped/``, opened by name.

A folder holds ``record.json`` (with the SHA-256 of the weights), ``best.safetensors`` in half precision, ``summary.json`` of
the test part, the chosen postprocessing, ``quality.json`` where the model can say how far to trust it, and the model card
``card.md``.
"""

import hashlib
from pathlib import Path

from bioseg.types import BiosegError

ROOT = Path(__file__).parents[1] / "shipped"


def names() -> list[str]:
    """All models that come with bioseg, sorted."""
    return sorted(record.parent.name for record in ROOT.glob("*/record.json"))


def find(model: Path | str) -> Path:
    """The folder of a model: a folder as it is, or the shipped one of that name.

    Raises:
        BiosegError: It is neither.
    """
    folder = Path(model)
    if folder.is_dir():
        return folder
    if str(model) in names():
        return ROOT / str(model)
    raise BiosegError(
        f"{model}: no such model; give the folder that `bioseg train … --out` wrote, or one of {', '.join(names())}"
    )


def check(weights: Path, digest: str) -> None:
    """Make sure that a weights file is the one that was shipped.

    Raises:
        BiosegError: Its SHA-256 is another.
    """
    found = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.exists() else "none: the file is missing"
    if found != digest:
        raise BiosegError(f"{weights}: SHA-256 is {found}, not {digest}; install bioseg again")
