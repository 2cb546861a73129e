"""Files that hold the annotations of many images are understood once, whichever thread comes first, and kept for the next image."""

import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from bioseg.datasets.annotations.annotation import Unusable

T = TypeVar("T")
KEPT = 4
"""Files; the one used longest ago goes first."""
_LOCK = threading.Lock()


def understood(path: Path, parse: Callable[[Path], T]) -> T:
    """``parse(path)``, done again only if the file's size or time has changed.

    Raises:
        Unusable: Whatever ``parse`` raised; that is kept, too.
        OSError: The file is not there.
    """
    facts = path.stat()
    with _LOCK:
        found: T | Unusable = _parsed(path, facts.st_size, facts.st_mtime_ns, parse)
    if isinstance(found, Unusable):
        raise Unusable(str(found))
    return found


def images_of(path: Path, parse: Callable[[Path], Any]) -> frozenset[str]:
    """The ``images`` of what a file holds; empty where it cannot be read."""
    try:
        found: frozenset[str] = understood(path, parse).images
    except (Unusable, OSError):
        return frozenset()
    return found


@lru_cache(maxsize=KEPT)
def _parsed(path: Path, size: int, time_ns: int, parse: Callable[[Path], Any]) -> Any:
    try:
        return parse(path)
    except Unusable as fault:
        return Unusable(str(fault))
