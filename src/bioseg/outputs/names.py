"""What output files are called."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bioseg.images.suffixes import stem
from bioseg.types import BiosegError, Case, plane_name

MASK, LABELS, PROBABILITY, CLASSES = ".png", ".labels.png", ".probability.png", ".classes.tif"
SEG, REPORT = ".seg.dcm", ".sr.dcm"
SUFFIXES = (
    MASK, LABELS, PROBABILITY, CLASSES, ".labels.tif", ".overlay.png", ".rois.zip", ".geojson", ".nii.gz", SEG, REPORT,
)  # fmt: skip
"""Of the files that may be written for one image."""

LONGEST = 200
"""Bytes of a name without its suffix; file systems allow 255 with it."""

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def printable(path: Path) -> str:
    """A path as tables and messages have it: a byte that is not UTF-8 is written as ``\\udce9``."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def name_outputs(cases: Sequence[Case], out: Path, earlier: Mapping[str, str] | None = None) -> list[str]:
    """One name per image, with ``/`` where it lies in a sub-folder of ``out``.

    It is the image's stem in the case's ``folder``; of a plane of ``scan.nii.gz`` it is ``scan-0012``. Where these repeat, a
    case without a folder has that of its file in front, and where that is taken, any has a number. Bytes of a name that are
    not UTF-8, and control characters, are written as ``%E9``; what is left of one over :data:`LONGEST` bytes is made unique by
    a hash.

    Args:
        cases: Images, each once.
        out: Folder the outputs go to.
        earlier: Names given before, by :func:`printable` place: an image keeps its name, and no other image gets it.

    Raises:
        BiosegError: An output would overwrite one of the images.
    """
    earlier = earlier or {}
    wishes = [_wish(case) for case in cases]
    count = Counter(wish.casefold() for wish in wishes)
    # casefold: a file system that ignores case takes such names for one
    taken = {(name + suffix).casefold() for name in earlier.values() for suffix in SUFFIXES}
    numbers: Counter[str] = Counter()
    names: list[str] = []
    for case, wish in zip(cases, wishes, strict=True):
        name = earlier.get(printable(case.place), "")
        if not name:
            above = os.path.basename(os.path.dirname(os.path.abspath(case.path)))
            alone = case.folder or count[wish.casefold()] == 1
            wanted = name = wish if alone else _safe(f"{_safe(above)}_{wish}")
            while not taken.isdisjoint((name + suffix).casefold() for suffix in SUFFIXES):
                numbers[wanted] += 1
                name = f"{wanted}_{numbers[wanted] + 1}"
            taken.update((name + suffix).casefold() for suffix in SUFFIXES)
        names.append(name)
    sources, place = {case.path.resolve() for case in cases}, out.resolve()
    made = (place / (name + suffix) for name in names for suffix in SUFFIXES)
    if clash := next((file for file in made if file in sources), None):
        raise BiosegError(f"{clash}: would be overwritten by what is made from it; choose another --out")
    return names


def files_in(out: Path, names: Iterable[str]) -> set[str]:
    """The files of ``out``, and of those of its sub-folders that ``names`` lie in, named as they are."""
    found = set[str]()
    for folder in {name.rpartition("/")[0] for name in names}:
        if (out / folder).is_dir():
            found |= {f"{folder}/{name}".lstrip("/") for name in os.listdir(out / folder)}
    return found


def is_inside(name: str) -> bool:
    """Whether a name, with ``/`` between folders, leads nowhere but into the folder it is given in."""
    parts = name.split("/")
    return not any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts)


def _wish(case: Case) -> str:
    """Folder and stem, without what a file system does not take; ``1.2.840.7`` is a stem: files of DICOM have no suffix."""
    own = case.path.name if case.path.suffix[1:].isdigit() else stem(case.path)
    own = own if case.plane is None else f"{own}-{plane_name(case.plane)}"
    return "/".join(_safe(part) for part in (*filter(None, case.folder.split("/")), own))


def _safe(name: str) -> str:
    """A name that every file system takes, of at most :data:`LONGEST` bytes."""
    safe = _UNPRINTABLE.sub(lambda match: f"%{ord(match[0]) & 0xFF:02X}", name)
    if len(safe.encode()) <= LONGEST:
        return safe
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{safe.encode()[: LONGEST - 9].decode(errors='ignore')}-{digest}"
