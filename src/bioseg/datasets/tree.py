"""The files below a folder, found without hanging, looping or stopping at what cannot be read."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bioseg.types import BiosegError, Problem

OUTPUTS = ("record.json", "measurements.csv", "prediction.json")
"""A folder that holds one of these was written by ``bioseg train`` or ``bioseg predict``."""


@dataclass(frozen=True)
class Tree:
    """What lies below a folder.

    Attributes:
        files: Regular files, links to such included, sorted; hidden ones are left out.
        skipped: What was not entered or is no regular file, and why.
    """

    files: tuple[Path, ...]
    skipped: tuple[Problem, ...]


def walk(folder: Path) -> Tree:
    """Every file of ``folder`` and its sub-folders.

    Linked folders are followed, but each folder is entered once, so that no loop of links is. Sub-folders that bioseg wrote
    are left out.

    Raises:
        BiosegError: There is no such folder, or it may not be read.
    """
    if not folder.is_dir():
        raise BiosegError(f"{folder}: no such folder")
    found: list[Path] = []
    skipped: list[Problem] = []
    waiting, links, seen = [folder], list[Path](), set[tuple[int, int]]()
    while waiting or links:  # real folders first: a file is called by its own path, not by a link to it
        place = waiting.pop() if waiting else links.pop(0)
        try:
            facts = place.stat()
            if (facts.st_dev, facts.st_ino) in seen:
                skipped.append(Problem(place, "links to a folder that is read already"))
                continue
            seen.add((facts.st_dev, facts.st_ino))
            entries = sorted(_visible(place), key=lambda entry: entry.name)
        except OSError as fault:
            if place == folder:
                raise BiosegError(f"{folder}: {fault.strerror}; check that the folder may be read") from None
            skipped.append(Problem(place, f"cannot be read ({fault.strerror})"))
            continue
        if place != folder and any(entry.name in OUTPUTS for entry in entries):
            skipped.append(Problem(place, "was written by bioseg: no data"))
            continue
        for entry in entries:
            path = Path(entry.path)
            if entry.is_dir():
                (links if entry.is_symlink() else waiting).append(path)
            elif entry.is_file():
                found.append(path)
            else:
                skipped.append(Problem(path, "is a broken link" if entry.is_symlink() else "is no regular file"))
    return Tree(tuple(sorted(found)), tuple(sorted(skipped, key=lambda one: one.path)))


def escaped(text: str) -> str:
    """``text`` with what cannot be printed spelled out, so that different file names stay different.

    Bytes that are not UTF-8 become ``\\xff``, control characters ``\\n`` and the like.
    """
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _visible(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if not entry.name.startswith("."))
