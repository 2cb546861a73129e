"""What the modules of the public sets share."""

import csv
from pathlib import Path

from bioseg.types import BiosegError


def root_with(folder: Path, pattern: str, top: str) -> Path:
    """``folder``, or the archive's own top folder in it, whichever holds files of that pattern.

    Raises:
        BiosegError: Neither does; the message names the pattern.
    """
    for root in (folder / top, folder):
        if next(root.glob(pattern), None):
            return root
    raise BiosegError(f"{folder}: no {pattern} here; give the unpacked folder {top}")


def read_table(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV file with a header.

    Raises:
        BiosegError: It cannot be read.
    """
    try:
        return list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError) as fault:
        raise BiosegError(f"{path}: not readable ({fault}); restore it from its source") from None
