"""Chest X-rays of several hospitals at once: whichever of Montgomery, JSRT and Shenzhen lie in one folder."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from bioseg.datasets.layouts import jsrt, montgomery, shenzhen
from bioseg.datasets.layouts.common import OtherLayoutError
from bioseg.types import Case


def list_cases(folder: Path) -> list[Case]:
    """The cases of every set; a patient's number has its set in front, since two sets use the same numbers.

    Raises:
        OtherLayoutError: None of the sets lies in ``folder``.
    """
    found: list[Case] = []
    for layout in (montgomery, jsrt, shenzhen):
        with suppress(OtherLayoutError):
            found += layout.list_cases(folder)
    if not found:
        raise OtherLayoutError(
            f"{folder}: no MontgomerySet, JSRT or ShenzhenSet here; give the folder they were unpacked into"
        )
    return sorted((replace(case, patient=f"{case.source}-{case.patient}") for case in found), key=lambda case: case.id)
