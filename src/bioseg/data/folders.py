"""Any folder of pictures and masks, zero configuration, and a clear account of what was understood.

First the layouts of the public sets are tried; then files are paired by their names: what is called a mask (by its
folder or its suffix) belongs to the picture of the same name.
"""

import csv
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from bioseg.data import cardiac_lv, ct_lungs, jsrt, montgomery, nuclei, pixels, rsna, shenzhen
from bioseg.data import cases as reading
from bioseg.types import BiosegError, Case, Problem

KNOWN: tuple[tuple[str, ModuleType], ...] = (
    ("Montgomery", montgomery),
    ("Shenzhen", shenzhen),
    ("JSRT", jsrt),
    ("RSNA", rsna),
    ("Sunnybrook left ventricle", cardiac_lv),
    ("CT lung slices", ct_lungs),
    ("Data Science Bowl nuclei", nuclei),
)
WORDS = (
    "mask", "masks", "label", "labels", "seg", "segs", "segmentation", "segmentations", "annotation", "annotations", "gt",
    "ground_truth", "groundtruth", "truth", "manualmask", "target", "targets",
)  # fmt: skip
_FOLDER = re.compile(rf"(?:.*[_\- .0-9])?(?:{'|'.join(WORDS)})(?:[_\- .0-9].*)?|(?:left|right)[_ ]?(?:mask|lung)", re.I)
_SUFFIX = re.compile(rf"(?P<name>.+?)[_\-. ](?:{'|'.join(WORDS)})(?:[_\-. ]?(?P<part>\d+|left|right))?", re.I)
_PICTURE_SUFFIX = re.compile(r"(?P<name>.+?)[_\-. ](?:image|img|picture|orig|original)", re.I)


@dataclass(frozen=True)
class Account:
    """What was understood of a folder.

    Attributes:
        folder: Which.
        layout: In words.
        cases: Sorted by id.
        without_mask: Pictures that found none.
        without_picture: Masks that found none.
        patients_from: Where patients are known from, in words.
        problems: Files that cannot be used, and why; known only after :func:`examine`.
        empty: Ids of cases whose masks have no foreground; known only after :func:`examine`.
        examined: Whether every file was opened.
    """

    folder: Path
    layout: str
    cases: tuple[Case, ...]
    without_mask: tuple[Path, ...] = ()
    without_picture: tuple[Path, ...] = ()
    patients_from: str = ""
    problems: tuple[Problem, ...] = ()
    empty: tuple[str, ...] = ()
    examined: bool = False

    @property
    def clean(self) -> bool:
        """Whether everything found can be used; pictures without a mask are not a fault."""
        return bool(self.cases) and not self.problems and not self.without_picture


def list_cases(folder: Path) -> list[Case]:
    """The cases of any folder, sorted by id; see :func:`pair`.

    Raises:
        BiosegError: There is no picture with a mask.
    """
    account = pair(folder)
    if not account.cases:
        raise BiosegError(
            f"{folder}: {len(account.without_mask)} pictures, none with a mask; put masks of the same names into masks/, "
            "or beside them as NAME_mask.png"
        )
    return list(account.cases)


def list_pictures(folder: Path) -> list[Case]:
    """Every picture of any folder, whether it has a mask or not, sorted by id.

    Raises:
        BiosegError: There is no such folder.
    """
    if not folder.is_dir():
        raise BiosegError(f"{folder}: no such folder")
    for _, module in KNOWN:
        try:
            cases: list[Case] = module.list_cases(folder)
        except BiosegError:
            continue
        if cases:
            return sorted(cases, key=lambda case: case.id)
    account = _by_names(folder)
    pictures = [*(case.picture for case in account.cases), *account.without_mask]
    names = sorted((path.relative_to(folder).as_posix(), path) for path in pictures)  # the same, whether masked or not
    return [Case(name, name, path, source=folder.name) for name, path in names]


def pair(folder: Path) -> Account:
    """Find pictures and their masks by names alone; no file is decoded.

    Raises:
        BiosegError: There is no such folder.
    """
    if not folder.is_dir():
        raise BiosegError(f"{folder}: no such folder")
    for name, module in KNOWN:
        try:
            cases = module.list_cases(folder)
        except BiosegError:
            continue
        if any(case.has_truth for case in cases):
            bare = tuple(case.picture for case in cases if not case.has_truth)
            known = tuple(case for case in cases if case.has_truth)
            return Account(folder, f"{name}, as published", known, bare, (), "the set's own file names")
    return _by_names(folder)


def examine(account: Account, progress: Callable[[int, int], None] = lambda done, total: None) -> Account:
    """Open every picture and mask: which cannot be read, differ in size, or have no foreground."""
    problems, empty = [], []
    for done, case in enumerate(account.cases, 1):
        try:
            shape = reading.read_picture(case).pixels.shape[:2]
            if not reading.read_mask(case, (shape[0], shape[1])).any():
                empty.append(case.id)
        except BiosegError as fault:
            problems.append(Problem(case.picture, str(fault)))
        progress(done, len(account.cases))
    return replace(account, problems=tuple(problems), empty=tuple(empty), examined=True)


def account_lines(account: Account) -> list[str]:
    """The account for a person, a fact a line."""
    cases = account.cases
    files = sum(len(case.masks) for case in cases)
    lines = [
        f"{account.folder}: {account.layout}",
        f"paired         {len(cases)} pictures with {files} mask files"
        + (f", up to {max(len(case.masks) for case in cases)} a picture (united)" if files > len(cases) else ""),
        f"patients       {len({case.patient for case in cases})}, known from {account.patients_from}",
    ]
    if account.examined:
        usable = len(cases) - len(account.problems)
        lines.append(f"usable         {usable} of {len(cases)}")
    lines += _listing("without mask", account.without_mask)
    lines += _listing("mask without picture", account.without_picture)
    lines += _listing("no foreground", account.empty)
    lines += [f"cannot be used {problem.reason}" for problem in account.problems]
    return lines


def to_json(account: Account) -> dict[str, Any]:
    """The account for a machine."""
    return {
        "folder": str(account.folder),
        "layout": account.layout,
        "cases": [
            {
                "id": case.id,
                "patient": case.patient,
                "picture": str(case.picture),
                "masks": [str(mask) for mask in case.masks],
            }
            for case in account.cases
        ],
        "patients_from": account.patients_from,
        "without_mask": [str(path) for path in account.without_mask],
        "without_picture": [str(path) for path in account.without_picture],
        "no_foreground": list(account.empty),
        "problems": [{"path": str(problem.path), "reason": problem.reason} for problem in account.problems],
    }


@dataclass
class _Found:
    """Files of a folder, sorted into pictures and masks by their names."""

    pictures: list[Path] = field(default_factory=list)
    masks: list[tuple[str, Path]] = field(default_factory=list)


def _by_names(folder: Path) -> Account:
    found = _sort_files(folder)
    at: dict[tuple[str, str], list[Path]] = {}
    for picture in found.pictures:
        at.setdefault((_place(picture, folder), _picture_name(picture)), []).append(picture)
    masks: dict[Path, list[Path]] = {}
    lonely, doubtful = [], []
    for name, mask in found.masks:
        wanted = _candidates(at, _place(mask, folder), name)
        if len(wanted) == 1:
            masks.setdefault(wanted[0], []).append(mask)
        else:
            lonely.append(mask)
            doubtful += wanted
    patients, source = _patients(folder)
    cases = []
    for picture, own in masks.items():
        name = picture.relative_to(folder).with_suffix("").as_posix()
        patient = patients.get(picture.name, patients.get(picture.stem, patients.get(name, name)))
        cases.append(Case(name, patient, picture, tuple(sorted(own)), source=folder.name))
    cases = _short_ids(sorted(cases, key=lambda case: case.id), patients)
    bare = tuple(picture for picture in found.pictures if picture not in masks)
    return Account(folder, "pictures and masks paired by name", tuple(cases), bare, tuple(lonely), source)


def _sort_files(folder: Path) -> _Found:
    found = _Found()
    stems: dict[tuple[Path, str], list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or not pixels.is_picture(path):
            continue
        mask_folder = next((part for part in path.relative_to(folder).parts[:-1] if _FOLDER.fullmatch(part)), None)
        suffix = _SUFFIX.fullmatch(path.stem)
        if suffix:
            found.masks.append((suffix["name"], path))
        elif mask_folder:
            found.masks.append((path.stem, path))
        else:
            stems.setdefault((path.parent, path.stem), []).append(path)
    for (_, stem), paths in stems.items():
        # X.dcm (or .jpg, .tif) beside X.png: the PNG is the mask, since masks are what people export so.
        png = [path for path in paths if path.suffix.lower() == ".png"]
        if len(paths) == 2 and len(png) == 1:
            found.masks.append((stem, png[0]))
            paths = [path for path in paths if path not in png]
        found.pictures += paths
    return found


def _picture_name(picture: Path) -> str:
    match = _PICTURE_SUFFIX.fullmatch(picture.stem)
    return match["name"] if match else picture.stem


def _place(path: Path, folder: Path) -> str:
    """The folders of a file without those that only say picture or mask: ``train/masks/a.png`` → ``train``."""
    parts = path.relative_to(folder).parts[:-1]
    return "/".join(part for part in parts if not _FOLDER.fullmatch(part) and not _is_picture_folder(part))


def _is_picture_folder(part: str) -> bool:
    return (
        re.fullmatch(
            r"(?:.*[_\- .0-9])?(?:images?|imgs?|pictures?|photos?|scans?|originals?|png|cxr_png|inputs?)", part, re.I
        )
        is not None
    )


def _candidates(at: dict[tuple[str, str], list[Path]], place: str, name: str) -> list[Path]:
    """Pictures a mask may belong to.

    Of its name (or that without a number) in its place or in one above; named as the folder it lies in; alone in its place.
    """
    parts = place.split("/") if place else []
    for depth in range(len(parts), -1, -1):
        above = "/".join(parts[:depth])
        for wanted in (
            name,
            re.sub(r"[_\-. ]?\d+$", "", name) if depth == len(parts) else name,
            *parts[depth : depth + 1],
        ):
            if there := at.get((above, wanted)):
                return there
    here = [picture for (where, _), pictures in at.items() if where == place for picture in pictures]
    return here if place and len(here) == 1 else []  # one picture in a folder of its own owns all masks there


def _patients(folder: Path) -> tuple[dict[str, str], str]:
    """From ``patients.csv`` with the columns id (or file) and patient."""
    table = folder / "patients.csv"
    if not table.exists():
        return {}, "nothing: each picture counts as a patient of its own (patients.csv with id,patient would tell)"
    rows = list(csv.DictReader(table.read_text(encoding="utf-8-sig").splitlines()))
    try:
        return {row.get("id") or row["file"]: row["patient"] for row in rows}, "patients.csv"
    except KeyError as fault:
        raise BiosegError(f"{table}: no column {fault}; it needs id (or file) and patient") from None


def _short_ids(cases: list[Case], patients: dict[str, str]) -> list[Case]:
    """Ids without the folders that all share, where they stay unique."""
    stems = [case.picture.stem for case in cases]
    if len(set(stems)) < len(stems):
        return cases
    return sorted(
        (
            replace(case, id=stem, patient=case.patient if patients else stem)
            for case, stem in zip(cases, stems, strict=True)
        ),
        key=lambda case: case.id,
    )


def _listing(what: str, items: Iterable[Path | str]) -> list[str]:
    """A few of them by name, and how many there are."""
    names = [item.name if isinstance(item, Path) else item for item in items]
    if not names:
        return []
    shown = ", ".join(names[:5]) + (f" … ({len(names) - 5} more)" if len(names) > 5 else "")
    return [f"{what:<14} {len(names)}: {shown}"]
