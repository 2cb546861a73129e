"""Files that hold several images: a case for each plane that is asked for, of a volume, a film or a stack."""

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from bioseg.images import formats
from bioseg.types import BiosegError, Case, plane_name

ALL, MIDDLE = "all", "middle"
_NUMBERS = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")


def choose(asked: str, count: int) -> range:
    """The planes, from 0, that are asked for.

    Args:
        asked: A number from 1, as in ``3``; a range, as in ``10-40``; ``middle``; ``all`` or nothing.
        count: Planes of the file. A range ends with them; a number beyond them stays, for reading to refuse.

    Raises:
        BiosegError: ``asked`` is none of these.
    """
    if asked in ("", ALL):
        return range(count)
    if asked == MIDDLE:
        return range(count // 2, count // 2 + 1)
    numbers = _NUMBERS.fullmatch(asked)
    first, last = (int(numbers[1]), int(numbers[2] or numbers[1])) if numbers else (0, 0)
    if not 1 <= first <= last:
        raise BiosegError(f"--plane {asked}: give a number from 1, a range such as 10-40, {MIDDLE} or {ALL}")
    return range(first - 1, max(first, min(last, count)))


def each(cases: Sequence[Case], asked: str = "", *, dicom: bool = True) -> list[Case]:
    """A case for every plane, in the place of each case whose file holds several; the others as they are.

    The planes of ``scan.nii.gz`` are ``scan-0001``, ``scan-0002`` …; they are of one patient, known or not. A file that cannot
    be opened is left as it is, for reading to name it.

    Args:
        cases: Of files.
        asked: See :func:`choose`.
        dicom: Whether DICOM files are opened to see how many frames they have; those of a published set have one.

    Raises:
        BiosegError: ``asked`` is not valid.
    """
    choose(asked, 1)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        counts = list(pool.map(partial(_count, dicom=dicom), cases))
    return [one for case, count in zip(cases, counts, strict=True) for one in _planes(case, count, asked)]


def _planes(case: Case, count: int, asked: str) -> list[Case]:
    if count == 1:
        return [case]
    return [
        replace(case, id=f"{case.id}-{plane_name(plane)}", plane=plane, planes=count) for plane in choose(asked, count)
    ]


def _count(case: Case, *, dicom: bool) -> int:
    if (
        case.raw_format
        or case.reader
        or case.plane is not None
        or (not dicom and formats.suffix(case.path) in ("", ".dcm"))
    ):
        return 1
    try:
        return formats.planes(case.image)
    except BiosegError:
        return 1
