"""Any folder of images and masks, zero configuration, and a clear scan of what was understood.

First the layouts of the public sets are tried; then files are paired by their names: what is called a mask (by its
folder or its suffix) belongs to the image of the same name.
"""

import csv
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from bioseg.datasets import cases as reading
from bioseg.datasets.layouts import cardiac_lv, ct_lungs, jsrt, montgomery, nuclei, rsna, shenzhen
from bioseg.datasets.splits import Split
from bioseg.images import formats
from bioseg.specs import Call
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
_PICTURE_SUFFIX = re.compile(r"(?P<name>.+?)[_\-. ](?:image|img|image|orig|original)", re.I)


@dataclass(frozen=True)
class FolderScan:
    """What was understood of a folder.

    Attributes:
        folder: Which.
        layout: In words.
        cases: Sorted by id.
        without_mask: Images that found none.
        without_image: Masks that found none.
        patients_from: Where patients are known from, in words.
        split: The folder's own, where it has ``train`` and ``val`` (and ``test``) parts.
        warnings: What a person should know before training, a line each.
        problems: Files that cannot be used, and why; known only after :func:`examine`.
        empty: Ids of cases whose masks have no foreground; known only after :func:`examine`.
        inspected: Whether every file was opened.
    """

    folder: Path
    layout: str
    cases: tuple[Case, ...]
    without_mask: tuple[Path, ...] = ()
    without_image: tuple[Path, ...] = ()
    patients_from: str = ""
    split: Split | None = None
    warnings: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    empty: tuple[str, ...] = ()
    inspected: bool = False

    @property
    def clean(self) -> bool:
        """Whether everything found can be used; images without a mask are not a fault."""
        return bool(self.cases) and not self.problems and not self.without_image


def list_cases(folder: Path) -> list[Case]:
    """The cases of any folder, sorted by id; see :func:`pair`.

    Raises:
        BiosegError: There is no image with a mask.
    """
    found = scan(folder)
    if not found.cases:
        raise BiosegError(
            f"{folder}: {len(found.without_mask)} images, none with a mask; put masks of the same names into masks/, "
            "or beside them as NAME_mask.png"
        )
    return list(found.cases)


def list_images(folder: Path) -> list[Case]:
    """Every image of any folder, whether it has a mask or not, sorted by id.

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
    found = _by_names(folder)
    images = [*(case.path for case in found.cases), *found.without_mask]
    names = sorted((path.relative_to(folder).as_posix(), path) for path in images)  # the same, whether masked or not
    return [Case(name, name, path, source=folder.name) for name, path in names]


def scan(folder: Path) -> FolderScan:
    """Find images and their masks by names alone; no file is decoded.

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
            bare = tuple(case.path for case in cases if not case.has_truth)
            known = tuple(case for case in cases if case.has_truth)
            return FolderScan(folder, f"{name}, as published", known, bare, (), "the set's own file names")
    return _by_names(folder)


def read_dataset(folder: Path, layout: Call[list[Case]]) -> FolderScan:
    """The cases with ground truth of a folder: in ``layout`` if it has that, else in whatever layout it has.

    Raises:
        BiosegError: There is no such folder, or no image with a mask.
    """
    if not folder.is_dir():
        raise BiosegError(f"{folder}: no such folder; give the folder that holds the data with --data")
    found = scan(folder)
    try:
        cases = tuple(case for case in layout(folder) if case.has_truth)
    except BiosegError:
        cases = ()
    if cases and layout.function is not list_cases:
        found = FolderScan(folder, layout.name, cases, patients_from="the set's own file names")
    if not found.cases:
        raise BiosegError(
            f"{folder}: no image with a mask; `bioseg data check {folder}` says what lies there, `bioseg predict` segments "
            "images without"
        )
    return found


def inspect(scan: FolderScan, progress: Callable[[int, int], None] = lambda done, total: None) -> FolderScan:
    """Open every image and mask: which cannot be read, differ in size, or have no foreground."""
    problems, empty = [], []
    for done, case in enumerate(scan.cases, 1):
        try:
            shape = reading.read_image(case).pixels.shape[:2]
            if not reading.read_mask(case, (shape[0], shape[1])).any():
                empty.append(case.id)
        except BiosegError as fault:
            problems.append(Problem(case.path, str(fault)))
        progress(done, len(scan.cases))
    return replace(scan, problems=tuple(problems), empty=tuple(empty), inspected=True)


def scan_lines(scan: FolderScan) -> list[str]:
    """The scan for a person, a fact a line."""
    cases = scan.cases
    files = sum(len(case.masks) for case in cases)
    lines = [
        f"{scan.folder}: {scan.layout}",
        f"paired         {len(cases)} images with {files} mask files"
        + (f", up to {max(len(case.masks) for case in cases)} an image (united)" if files > len(cases) else ""),
        f"patients       {len({case.patient for case in cases})}, known from {scan.patients_from}",
    ]
    if scan.inspected:
        usable = len(cases) - len(scan.problems)
        lines.append(f"usable         {usable} of {len(cases)}")
    lines += _listing("without mask", scan.without_mask)
    lines += _listing("mask without image", scan.without_image)
    lines += _listing("no foreground", scan.empty)
    lines += [f"cannot be used {problem.reason}" for problem in scan.problems]
    return lines


def to_json(scan: FolderScan) -> dict[str, Any]:
    """The scan for a machine."""
    return {
        "folder": str(scan.folder),
        "layout": scan.layout,
        "cases": [
            {
                "id": case.id,
                "patient": case.patient,
                "image": str(case.image),
                "masks": [str(mask) for mask in case.masks],
            }
            for case in scan.cases
        ],
        "patients_from": scan.patients_from,
        "without_mask": [str(path) for path in scan.without_mask],
        "without_image": [str(path) for path in scan.without_image],
        "no_foreground": list(scan.empty),
        "problems": [{"path": str(problem.path), "reason": problem.reason} for problem in scan.problems],
    }


@dataclass
class _Found:
    """Files of a folder, sorted into images and masks by their names."""

    images: list[Path] = field(default_factory=list)
    masks: list[tuple[str, Path]] = field(default_factory=list)


def _by_names(folder: Path) -> FolderScan:
    found = _sort_files(folder)
    at: dict[tuple[str, str], list[Path]] = {}
    for image in found.images:
        at.setdefault((_place(image, folder), _image_name(image)), []).append(image)
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
    for image, own in masks.items():
        name = image.relative_to(folder).with_suffix("").as_posix()
        patient = patients.get(image.name, patients.get(image.stem, patients.get(name, name)))
        cases.append(Case(name, patient, image, tuple(sorted(own)), source=folder.name))
    cases = _short_ids(sorted(cases, key=lambda case: case.id), patients)
    bare = tuple(image for image in found.images if image not in masks)
    return FolderScan(folder, "images and masks paired by name", tuple(cases), bare, tuple(lonely), source)


def _sort_files(folder: Path) -> _Found:
    found = _Found()
    stems: dict[tuple[Path, str], list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or not formats.is_image(path):
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
        found.images += paths
    return found


def _image_name(image: Path) -> str:
    match = _PICTURE_SUFFIX.fullmatch(image.stem)
    return match["name"] if match else image.stem


def _place(path: Path, folder: Path) -> str:
    """The folders of a file without those that only say image or mask: ``train/masks/a.png`` → ``train``."""
    parts = path.relative_to(folder).parts[:-1]
    return "/".join(part for part in parts if not _FOLDER.fullmatch(part) and not _is_image_folder(part))


def _is_image_folder(part: str) -> bool:
    return (
        re.fullmatch(
            r"(?:.*[_\- .0-9])?(?:images?|imgs?|images?|photos?|scans?|originals?|png|cxr_png|inputs?)", part, re.I
        )
        is not None
    )


def _candidates(at: dict[tuple[str, str], list[Path]], place: str, name: str) -> list[Path]:
    """Images a mask may belong to.

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
    here = [image for (where, _), images in at.items() if where == place for image in images]
    return here if place and len(here) == 1 else []  # one image in a folder of its own owns all masks there


def _patients(folder: Path) -> tuple[dict[str, str], str]:
    """From ``patients.csv`` with the columns id (or file) and patient."""
    table = folder / "patients.csv"
    if not table.exists():
        return {}, "nothing: each image counts as a patient of its own (patients.csv with id,patient would progress)"
    rows = list(csv.DictReader(table.read_text(encoding="utf-8-sig").splitlines()))
    try:
        return {row.get("id") or row["file"]: row["patient"] for row in rows}, "patients.csv"
    except KeyError as fault:
        raise BiosegError(f"{table}: no column {fault}; it needs id (or file) and patient") from None


def _short_ids(cases: list[Case], patients: dict[str, str]) -> list[Case]:
    """Ids without the folders that all share, where they stay unique."""
    stems = [case.path.stem for case in cases]
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
