"""Prepared arrays kept between runs, in a folder of limited size: what was used longest ago goes first."""

import dataclasses
import hashlib
import json
import os
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bioseg.datasets import annotations, targets
from bioseg.datasets import cases as reading
from bioseg.images import prepare
from bioseg.images.prepare import Preparation
from bioseg.specs import Call
from bioseg.types import BiosegError, Case

LIMIT_GB = 20.0
"""The largest size of the cache, unless ``BIOSEG_CACHE_GB`` says otherwise; 0: nothing is kept."""

_STALE_S = 24 * 3600
"""A temporary file older than this was left behind by a process that was killed."""


class Entry(NamedTuple):
    """What is kept of one data set under one preparation.

    Attributes:
        notes: JSON values.
        images: [M, channels, rows, cols] float32.
        masks: [M, K, rows, cols] uint8.
    """

    notes: dict[str, Any]
    images: NDArray[np.float32]
    masks: NDArray[np.uint8]


def root() -> Path:
    """The folder of the cache: ``prepared`` in ``BIOSEG_CACHE`` or in ``~/.cache/bioseg``."""
    return Path(os.environ.get("BIOSEG_CACHE") or Path.home() / ".cache" / "bioseg") / "prepared"


def limit_bytes() -> int:
    """The largest size of the cache.

    Raises:
        BiosegError: ``BIOSEG_CACHE_GB`` is no number from 0.
    """
    text = os.environ.get("BIOSEG_CACHE_GB", "")
    try:
        limit = float(text) if text.strip() else LIMIT_GB
        if not 0 <= limit < float("inf"):
            raise ValueError
    except ValueError:
        raise BiosegError(f"BIOSEG_CACHE_GB: {text!r}; give a number of gigabytes from 0, such as 20") from None
    return int(limit * 1e9)


def key(cases: Sequence[Case], how: Preparation) -> str:
    """The same in every process, and another one whenever the prepared arrays could differ."""
    steps = [(step.function.__module__, step.function.__qualname__, step.arguments) for step in how.intensity]
    digest = hashlib.sha256(repr((steps, dataclasses.replace(how, intensity=()))).encode())
    for path in _code():
        digest.update(path.read_bytes())
    readers = {case.reader for case in cases if case.reader}
    own: tuple[Callable[..., Any], ...] = (*how.intensity, *readers)
    for function in own:
        digest.update(_own_code(function))
    for case in cases:
        digest.update(repr(case).encode())
        for path in (case.path, *case.masks):
            try:
                facts = path.stat()
                digest.update(f"{facts.st_size} {facts.st_mtime_ns}".encode())
            except OSError:
                digest.update(b"absent")
    return digest.hexdigest()[:32]


def _code() -> list[Path]:
    """The source files whose functions make prepared arrays of files."""
    folders = (Path(prepare.__file__).parent, Path(annotations.__file__).parent)
    return [
        *(path for folder in folders for path in sorted(folder.glob("*.py"))),
        Path(reading.__file__),
        Path(targets.__file__),
    ]


def _own_code(function: Callable[..., Any]) -> bytes:
    """A user's function: its name, its arguments and the source of its module; nothing of a function of bioseg's."""
    inner = function.function if isinstance(function, Call) else function
    module = getattr(inner, "__module__", "")
    if module.partition(".")[0] == "bioseg":
        return b""
    place = sys.modules.get(module)
    arguments = function.arguments if isinstance(function, Call) else ()
    name = repr((module, getattr(inner, "__qualname__", ""), arguments)).encode()
    source: bytes | None = getattr(place, "_source", None)  # of a file that user_code ran
    if source is None and (path := Path(getattr(place, "__file__", None) or "")).is_file():
        source = path.read_bytes()
    return name + (source or os.urandom(16))  # what cannot be known is not kept


def read(path: Path) -> Entry | None:
    """An entry; None where there is none or it is damaged. It counts as used now."""
    try:
        with np.load(path, allow_pickle=False) as file:
            entry = Entry(json.loads(str(file["notes"])), file["images"], file["masks"])
        os.utime(path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    return entry


def write(path: Path, entry: Entry) -> None:
    """Keep an entry as .npz, whose checksums tell a damaged file, and make room for it.

    A cache that cannot be written, or is too small, costs time, nothing else.
    """
    limit = limit_bytes()
    if entry.images.nbytes + entry.masks.nbytes > limit:
        return
    new = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(new, "wb") as file:
            np.savez(file, notes=json.dumps(entry.notes), images=entry.images, masks=entry.masks)
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink()
    evict(path.parent, limit, keep=path)


def evict(folder: Path, limit: int, keep: Path) -> None:
    """Delete the entries that were used longest ago until ``limit`` bytes are left; never ``keep``.

    Several processes may do so at once: an entry that another is reading stays readable for it, one that is gone already is
    none of this one's business.
    """
    entries = []
    for path in folder.glob("*.npz"):
        with suppress(OSError):
            facts = path.stat()
            entries.append((facts.st_mtime_ns, facts.st_size, path))
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= limit:
            break
        if path != keep:
            with suppress(OSError):
                path.unlink()
            total -= size
    for path in folder.glob(".*.new"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE_S:
                path.unlink()
