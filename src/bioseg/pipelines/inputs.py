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
    paths: Iterable[Path], callbacks: Callbacks = SILENT, recipe: SegmentationRecipe | None = None, plane: str = ""
) -> list[Case]:
    """The files among ``paths`` and, sorted, the images in the folders among them; a file of several is a case for each.

    Masks that lie there too, and what an earlier prediction wrote there, are left out; so are DICOM files that hold no image
    to segment, which are counted. The outputs of a folder whose images lie in several folders keep its tree. Patients come
    from its ``patients.csv``, if it has one, or the layout.

    Args:
        paths: Files and folders.
        callbacks: Hears what was left out.
        recipe: Of the model; where it has a reader of its author's own, that reads the files, and the author's own layout
            lists folders.
        plane: Of files with several images, see :func:`bioseg.datasets.planes.choose`.

    Raises:
        BiosegError: A path does not exist, none holds an image, or ``plane`` is not valid.
    """
    found: dict[Path, Case] = {}
    skipped = Counter[str]()
    paths, reader = refuse_missing(paths), recipe.reader if recipe else None
    for path in paths:
        if path.is_dir():
            for case in _with_patients(path, _with_tree(path, _in_folder(path, recipe, plane, skipped)), callbacks):
                found.setdefault(case.place, case)
        else:
            for case in folders.expanded([folders.case_of(path)], plane, reader):
                found.setdefault(case.place, case)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(skipped.items()))
    if not found:
        there = f" beside DICOM files without one ({kinds})" if kinds else ""
        raise BiosegError(
            f"{', '.join(map(str, paths))}: no image found{there}; bioseg reads {' '.join(sorted(formats.SUFFIXES))}"
        )
    if kinds:
        callbacks.log(f"skipped {skipped.total()} DICOM files that hold no image to segment: {kinds}")
    return list(found.values())


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


def _listed(folder: Path, recipe: SegmentationRecipe | None, plane: str) -> list[Case]:
    if recipe and recipe.reader and not recipe.layout.function.__module__.startswith("bioseg."):
        return folders.expanded(recipe.layout(folder), plane, recipe.reader)
    return folders.list_images(folder, plane, recipe.reader if recipe else None)


def _in_folder(folder: Path, recipe: SegmentationRecipe | None, plane: str, skipped: Counter[str]) -> list[Case]:
    here = folder.absolute()
    places = (here, *here.parents)  # what was written with --out above lies in the tree itself
    written = {path for place in places for path in claimed(place / LEDGER)}
    cases = [case for case in _listed(folder, recipe, plane) if case.path.absolute() not in written]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        paths = list(dict.fromkeys(case.path for case in cases))
        kinds = dict(zip(paths, pool.map(_kind, paths), strict=True))
    skipped.update(filter(None, kinds.values()))
    return [case for case in cases if not kinds[case.path]]


def _kind(path: Path) -> str:
    return kind_of_no_image(path) if formats.may_be_dicom(path) else ""


def _with_tree(folder: Path, cases: Sequence[Case]) -> list[Case]:
    """The outputs of a folder's images in a tree like theirs, if that is one; its own name comes first."""
    own_folders = all(case.path.stem in case.path.relative_to(folder).parts[:-1] for case in cases)  # a/images/a.png
    if own_folders or len({case.path.parent for case in cases}) < 2:
        return list(cases)
    top = Path("" if folder.name == ".." else folder.name)
    return [replace(case, folder=(top / case.path.parent.relative_to(folder)).as_posix()) for case in cases]


def _with_patients(folder: Path, cases: list[Case], callbacks: Callbacks) -> list[Case]:
    try:
        return patients.from_table(folder, cases)
    except BiosegError as fault:
        callbacks.log(f"{fault}; it is not used")
        return cases
