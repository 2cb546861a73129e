"""Writing that leaves either the old file or the whole new one."""

import errno
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from bioseg.types import BiosegError


def write(path: Path, data: bytes | str) -> None:
    """Write ``data`` under a temporary name beside ``path``, flush it to disk, rename.

    Raises:
        BiosegError: The disk is full or the folder may not be written; what was there before is untouched.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(new, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as fault:
        with suppress(OSError):  # the folder itself may be what is wrong
            new.unlink()
        raise BiosegError(f"{path}: {explain(fault)}") from None


def explain(fault: OSError) -> str:
    """What went wrong while writing, and the remedy, in one line."""
    if fault.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space and give the same command again (train: with --resume)"
    if fault.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return "may not be written; choose another --out"
    return f"{fault.strerror or fault}; check that the folder can be written"


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON; NaN is not JSON and becomes null."""
    write(path, json.dumps(without_nan(value), indent=2, allow_nan=False) + "\n")


def without_nan(value: Any) -> Any:
    """``value`` with every NaN in it replaced by None."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and value != value else value


def read_json(path: Path, what: str) -> Any:
    """The value in a JSON file.

    Raises:
        BiosegError: It is missing or damaged; ``what`` says what it should have been.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise BiosegError(f"{path}: not there; {what}") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as fault:
        raise BiosegError(f"{path}: not readable ({fault}); {what}") from None
