"""The images among the files and folders that a user gives."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from bioseg.datasets import folders, patients
from bioseg.images import formats
from bioseg.images.dicom_objects import kind_of_no_image
from bioseg.pipelines.ledger import claimed
from bioseg.recipe import SegmentationRecipe
from bioseg.types import SILENT, BiosegError, Callbacks, Case

LEDGER = "prediction.json"


def find_images(
    paths: Iterable[Path], callbacks: Callbacks = SILENT, recipe: SegmentationRecipe | None = None
) -> list[Case]:
    """The files among ``paths`` and, sorted, the images in the folders among them.

    Masks that lie there too, and what an earlier prediction wrote there, are left out; so are DICOM files that hold no image
    to segment, which are counted. The outputs of a folder whose images lie in several folders keep its tree. Patients come
    from its ``patients.csv``, if it has one, or the layout.

    Args:
        paths: Files and folders.
        callbacks: Hears what was left out.
        recipe: Of the model; where it has a reader of its author's own, that reads the files, and the author's own layout
            lists folders.

    Raises:
        BiosegError: A path does not exist, or none holds an image.
    """
    found: dict[Path, Case] = {}
    skipped = Counter[str]()
    paths = refuse_missing(paths)
    for path in paths:
        if path.is_dir():
            for case in _with_patients(path, _with_tree(path, _in_folder(path, recipe, skipped)), callbacks):
                found.setdefault(case.path, case)
        else:
            found.setdefault(path, folders.case_of(path))
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(skipped.items()))
    if not found:
        there = f" beside DICOM files without one ({kinds})" if kinds else ""
        raise BiosegError(
            f"{', '.join(map(str, paths))}: no image found{there}; bioseg reads {' '.join(sorted(formats.SUFFIXES))}"
        )
    if kinds:
        callbacks.log(f"skipped {skipped.total()} DICOM files that hold no image to segment: {kinds}")
    reader = recipe and recipe.reader
    return [replace(case, reader=reader) for case in found.values()] if reader else list(found.values())


def refuse_missing(paths: Iterable[Path]) -> list[Path]:
    """The paths, each of which is there.

    Raises:
        BiosegError: One is not.
    """
    found = list(paths)
    for path in found:
        if not path.exists():
            raise BiosegError(f"{path}: no such file or folder")
    return found


def _listed(folder: Path, recipe: SegmentationRecipe | None) -> list[Case]:
    if recipe and recipe.reader and not recipe.layout.function.__module__.startswith("bioseg."):
        return recipe.layout(folder)
    return folders.list_images(folder)


def _in_folder(folder: Path, recipe: SegmentationRecipe | None, skipped: Counter[str]) -> list[Case]:
    here = folder.absolute()
    places = (here, *here.parents)  # what was written with --out above lies in the tree itself
    written = {path for place in places for path in claimed(place / LEDGER)}
    cases = [case for case in _listed(folder, recipe) if case.path.absolute() not in written]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        kinds = list(pool.map(_kind, cases))
    skipped.update(filter(None, kinds))
    return [case for case, kind in zip(cases, kinds, strict=True) if not kind]


def _kind(case: Case) -> str:
    return kind_of_no_image(case.path) if formats.may_be_dicom(case.path) else ""


def _with_tree(folder: Path, cases: Sequence[Case]) -> list[Case]:
    """The outputs of a folder's images in a tree like theirs, if that is one; its own name comes first."""
    if len({case.path.parent for case in cases}) < 2:
        return list(cases)
    top = Path("" if folder.name == ".." else folder.name)
    return [replace(case, folder=(top / case.path.parent.relative_to(folder)).as_posix()) for case in cases]


def _with_patients(folder: Path, cases: list[Case], callbacks: Callbacks) -> list[Case]:
    try:
        return patients.from_table(folder, cases)
    except BiosegError as fault:
        callbacks.log(f"{fault}; it is not used")
        return cases
