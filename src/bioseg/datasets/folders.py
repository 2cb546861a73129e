"""Any folder of images and masks, without configuration: the layout of a public set, or files paired by their names."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bioseg.datasets import pairing, patients, planes, splits
from bioseg.datasets.kinds import Kind
from bioseg.datasets.layouts import cardiac_lv, chest_xrays, ct_lungs, jsrt, montgomery, nnunet, nuclei, rsna, shenzhen
from bioseg.datasets.layouts.common import OtherLayoutError
from bioseg.datasets.pairing import case_of as case_of
from bioseg.datasets.splits import Split, counted
from bioseg.datasets.suspicious import Suspicion
from bioseg.datasets.tree import escaped, walk
from bioseg.specs import Call
from bioseg.types import BiosegError, Case, Problem, Reader

Layout = Callable[[Path], list[Case]]
KNOWN: dict[str, Layout] = {
    "Montgomery": montgomery.list_cases,
    "Shenzhen": shenzhen.list_cases,
    "JSRT": jsrt.list_cases,
    "RSNA": rsna.list_cases,
    "Sunnybrook left ventricle": cardiac_lv.list_cases,
    "CT lung slices": ct_lungs.list_cases,
    "Data Science Bowl nuclei": nuclei.list_cases,
    "nnU-Net": nnunet.list_cases,
}
CHEST = frozenset({"Montgomery", "Shenzhen", "JSRT"})
"""Sets of one kind: where several lie in one folder, they are one data set."""
VALIDATION = 0.2
"""Share of the cases in ``train`` that validates where a folder has ``train`` and ``test`` but no ``val``."""


@dataclass(frozen=True)
class FolderScan:
    """What was understood of a folder.

    Attributes:
        folder: Which.
        layout: In words.
        cases: Images with ground truth, sorted by id.
        without_mask: Images that found none.
        without_image: Masks that found none.
        ambiguous: PNG files beside an image of the same name that do not look like its mask; none is used as one.
        skipped: Folders and files that were left alone, and why.
        not_understood: Files that are neither images nor annotations of a known format.
        patients_from: Where patients are known from, in words.
        split: The folder's own, where it has ``train`` and ``val`` or ``test`` parts.
        warnings: What a person should know before training, a line each.
        problems: Files that cannot be used, and why; known only after :func:`bioseg.datasets.inspection.inspect`.
        empty: Ids of cases whose masks have no foreground; known only after that, too.
        suspicious: Cases whose ground truth may be wrong; known only after that, too.
        kind: What the masks show; known only after that, too.
        inspected: Whether every file was opened.
        channels: Grey, colour or measured channels, and of how many images; known only then.
    """

    folder: Path
    layout: str
    cases: tuple[Case, ...]
    without_mask: tuple[Path, ...] = ()
    without_image: tuple[Path, ...] = ()
    ambiguous: tuple[Path, ...] = ()
    skipped: tuple[Problem, ...] = ()
    not_understood: tuple[Path, ...] = ()
    patients_from: str = ""
    split: Split | None = None
    warnings: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    empty: tuple[str, ...] = ()
    suspicious: tuple[Suspicion, ...] = ()
    kind: Kind | None = None
    inspected: bool = False
    channels: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether everything found can be used; images without a mask and suspicious masks are no fault."""
        return bool(self.cases) and not (self.problems or self.without_image or self.ambiguous)


def list_cases(folder: Path) -> list[Case]:
    """The cases of any folder, sorted by id; see :func:`scan`.

    Raises:
        BiosegError: There is no image with a mask.
    """
    return list(_with_cases(scan(folder)).cases)


def list_images(folder: Path, plane: str = "", reader: Reader | None = None) -> list[Case]:
    """Every image of any folder, whether it has a mask or not: first those of known layouts by id, then the others by path.

    Args:
        folder: Which.
        plane: Of files with several images, see :func:`bioseg.datasets.planes.choose`.
        reader: Reads the images, see :class:`bioseg.types.Case`; None: as the layout says.

    Raises:
        BiosegError: There is no such folder, or ``plane`` is not valid.
    """
    files = walk(folder).files
    cases: dict[Path, Case] = {}
    for layout in KNOWN.values():
        with suppress(BiosegError):  # what is wrong with its ground truth does not matter here
            cases |= {case.path: case for case in sorted(layout(folder), key=lambda case: case.id)}
    found = pairing.pair(folder, _unclaimed(files, list(cases.values())))
    others = sorted({*(case.path for case in found.cases), *found.without_mask})
    named = [(escaped(path.relative_to(folder).as_posix()), path) for path in others]
    more = [case_of(path, name, source=folder.name) for name, path in named]  # the same, whether masked or not
    published = expanded(_printable(list(cases.values())), plane, reader, dicom=False)
    return [*published, *expanded(more, plane, reader)]


def scan(folder: Path, plane: str = "", reader: Reader | None = None) -> FolderScan:
    """Find images and their masks: in the layout of a public set, or else by names.

    Args:
        folder: Which.
        plane: Of files with several images, see :func:`bioseg.datasets.planes.choose`.
        reader: Reads the images, see :class:`bioseg.types.Case`; None: as the layout says.

    Raises:
        BiosegError: There is no such folder, it holds several data sets, or ``patients.csv`` is wrong.
    """
    if not folder.is_dir():
        raise BiosegError(f"{folder}: no such folder")
    found = {name: cases for name, cases in _matches(folder).items() if any(case.has_truth for case in cases)}
    if len(found) > 1 and not set(found) <= CHEST:
        raise BiosegError(f"{folder}: holds several data sets ({', '.join(found)}); give the folder of one of them")
    if len(found) > 1:
        return _in_layout(folder, " and ".join(found), chest_xrays.list_cases(folder), plane, reader)
    known = next((_in_layout(folder, name, cases, plane, reader) for name, cases in found.items()), None)
    return known or _by_names(folder, plane, reader)


def read_dataset(folder: Path, layout: Call[list[Case]], reader: Reader | None = None, plane: str = "") -> FolderScan:
    """The cases with ground truth of a folder: in ``layout`` if it has that, else in whatever layout it has.

    Args:
        folder: Which.
        layout: Tried first.
        reader: Reads the images of the cases, see :class:`bioseg.types.Case`; None: as the layout says.
        plane: Of files with several images, see :func:`bioseg.datasets.planes.choose`.

    Raises:
        BiosegError: There is no such folder, no image with a mask, or a table in it is wrong.
    """
    if not folder.is_dir():
        raise BiosegError(f"{folder}: no such folder; give the folder that holds the data with --data")
    if layout.function is not list_cases:
        try:
            cases = layout(folder)
        except OtherLayoutError:
            cases = []
        if any(case.has_truth for case in cases):
            return _in_layout(folder, _layout_name(layout), cases, plane, reader)
    return _with_cases(scan(folder, plane, reader))


def expanded(cases: Sequence[Case], plane: str, reader: Reader | None = None, *, dicom: bool = True) -> list[Case]:
    """The cases as they are read: each by ``reader``, or else one for each plane, see :func:`bioseg.datasets.planes.each`."""
    return [replace(case, reader=reader) for case in cases] if reader else planes.each(cases, plane, dicom=dicom)


def _with_cases(found: FolderScan) -> FolderScan:
    if found.cases:
        return found
    images = counted(len(found.without_mask), "image")
    raise BiosegError(
        f"{found.folder}: {images}, none with a mask; put masks of the same names into masks/, or beside them as "
        f"NAME_mask.png; `bioseg data check {found.folder}` says what lies there, `bioseg predict` segments images without"
    )


def _matches(folder: Path) -> dict[str, list[Case]]:
    """The cases of every known layout that the folder has."""
    found = {}
    for name, layout in KNOWN.items():
        try:
            found[name] = layout(folder)
        except OtherLayoutError:
            continue
    return {name: cases for name, cases in found.items() if cases}


def _layout_name(layout: Call[list[Case]]) -> str:
    names = {function: name for name, function in KNOWN.items()} | {chest_xrays.list_cases: "Chest X-rays"}
    module = str(getattr(layout.function, "__module__", "")).rpartition(".")[-1]
    return names.get(layout.function, module.replace("_", " "))


def _in_layout(folder: Path, name: str, cases: Sequence[Case], plane: str, reader: Reader | None) -> FolderScan:
    """The scan of a known layout; images beside it are named, not used."""
    tree = walk(folder)
    beside = pairing.pair(folder, _unclaimed(tree.files, cases))
    usable = expanded(_printable([case for case in cases if case.has_truth]), plane, reader, dicom=False)
    known = patients.identify(folder, usable)
    warnings = list(known.warnings)
    if beside.cases:
        others = patients.few([case.id for case in beside.cases])
        warnings.append(
            f"left out, since no part of the layout: {counted(len(beside.cases), 'image')} with masks: {others}"
        )
    return FolderScan(
        folder,
        f"{name}, as published",
        tuple(sorted(known.cases, key=lambda case: case.id)),
        without_mask=(*(case.path for case in cases if not case.has_truth), *beside.without_mask),
        skipped=tree.skipped,
        patients_from=known.source,
        warnings=tuple(warnings),
    )


def _by_names(folder: Path, plane: str, reader: Reader | None) -> FolderScan:
    tree = walk(folder)
    found = pairing.pair(folder, tree.files)
    known = patients.identify(folder, expanded(found.cases, plane, reader))
    split, warnings = _own_split(folder, known.cases)
    if found.unused:
        names = patients.few([escaped(path.name) for path in found.unused])
        count = counted(len(found.unused), "file")
        warnings.append(f"left out, since the images have their ground truth in another form, too: {count}: {names}")
    return FolderScan(
        folder,
        "images and masks paired by name",
        known.cases,
        found.without_mask,
        found.without_image,
        found.ambiguous,
        tree.skipped,
        found.others,
        known.source,
        split,
        (*known.warnings, *warnings),
    )


def _own_split(folder: Path, cases: Sequence[Case]) -> tuple[Split | None, list[str]]:
    """The split that the folder's ``train``, ``val`` and ``test`` parts make, and warnings."""
    parts: dict[str, list[Case]] = {}
    for case in cases:
        parts.setdefault(pairing.part_of(case.path, folder), []).append(case)
    train, validation, test = (tuple(parts.get(name, ())) for name in splits.PARTS)
    if not train or not (validation or test):
        return None, []
    warnings = []
    if outside := parts.get(""):
        names = patients.few([case.id for case in outside])
        warnings.append(f"left out, since in no part (train, val, test): {counted(len(outside), 'image')}: {names}")
    if not validation:
        try:
            drawn = splits.by_patient(train, validation=VALIDATION)
            train, validation = drawn.train, drawn.validation
        except BiosegError as fault:
            warnings.append(f"no val folder, and no validation images can be drawn from train: {fault}")
    split = Split(train, validation, test)
    return split, [*warnings, *splits.straddling(split)]


def _unclaimed(files: Sequence[Path], cases: Sequence[Case]) -> list[Path]:
    claimed = {path for case in cases for path in (case.path, *case.masks)}
    return [path for path in files if path not in claimed]


def _printable(cases: Sequence[Case]) -> list[Case]:
    return [replace(case, id=name) if (name := escaped(case.id)) != case.id else case for case in cases]
