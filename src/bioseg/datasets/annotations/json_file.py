"""JSON files of other programs: read with limits, looked into without trusting them."""

import json
import math
from pathlib import Path
from typing import Any, TypeVar

from bioseg.datasets.annotations.annotation import AGAIN, Unusable

T = TypeVar("T")
_KINDS: dict[type, str] = {list: "a list", dict: "an object", str: "text"}
MAX_BYTES = 500_000_000
"""A larger file is refused; the annotations of COCO's 118,000 training images have 470 MB."""


def read(path: Path) -> Any:
    """The value in a file. NaN and Infinity, which some programs write, are read as such.

    Raises:
        Unusable: It is too large, cut short, nested too deeply, or no JSON in UTF-8.
        OSError: It cannot be read.
    """
    if (size := path.stat().st_size) > MAX_BYTES:
        raise Unusable(f"{size:,} bytes, more than {MAX_BYTES:,}; divide it into several files")
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except RecursionError:
        raise Unusable(f"JSON nested too deeply; {AGAIN}") from None
    except ValueError as fault:  # of JSON, UTF-8 and numbers of too many digits
        raise Unusable(f"no JSON, or cut short ({str(fault)[:80]}); {AGAIN}") from None


def field(owner: Any, name: str, kind: type[T]) -> T:
    """A value of an object.

    Raises:
        Unusable: ``owner`` is no object, or has no ``name`` of that kind.
    """
    value = owner.get(name) if isinstance(owner, dict) else None
    if not isinstance(value, kind):
        raise Unusable(f"{name!r} is {shown(value)}, not {_KINDS[kind]}; {AGAIN}")
    return value


def whole(value: Any) -> int | None:
    """A number that is a whole one; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if value == int(value) else None


def shown(value: Any) -> str:
    """A value for a message."""
    if value is None or isinstance(value, bool | int | float | str):
        text = "absent" if value is None else repr(value)
        return text if len(text) < 40 else text[:37] + "…"
    return f"a {type(value).__name__}"
