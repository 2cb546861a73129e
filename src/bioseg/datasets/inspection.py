"""Open every file of a folder and say what was found: for people and for machines."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from bioseg.datasets import annotations, kinds, splits, suspicious
from bioseg.datasets import cases as reading
from bioseg.datasets.folders import FolderScan
from bioseg.datasets.patients import few
from bioseg.datasets.suspicious import Description
from bioseg.datasets.tree import escaped
from bioseg.images import channels
from bioseg.images.raw_image import RawImage
from bioseg.types import BiosegError, Case, Mask, Problem, Progress

POINTER = "; a model of masks merges those that touch, `bioseg train nuclei` separates them"
"""What a person should know of instance labels."""

Seen = TypeVar("Seen")
See = Callable[[Case, RawImage, Mapping[str, Mask]], Seen]
"""What is made of a case while its files are open: (case, image with the channels asked for, the mask [rows, cols] of each class
by its name, of what has no name by ""); threads call it."""


@dataclass(frozen=True)
class _Opened(Generic[Seen]):
    """A case that can be used: its channels, whether it has foreground, its mask in numbers (None for boxes), and ``Seen``."""

    kind: str
    foreground: bool
    description: Description | None
    seen: Seen


def inspect(
    scan: FolderScan, progress: Progress = lambda done, total: None, *, select: Sequence[str] = ()
) -> FolderScan:
    """Open every image and mask: which cannot be read, differ in size, have no foreground, or look wrong.

    Args:
        scan: Of the folder.
        progress: Told (done, total).
        select: The channels to look at, see :func:`bioseg.images.channels.select`; images must have them. Empty: all.
    """
    return examine(scan, lambda case, raw_image, masks: None, progress, select=select)[0]


def examine(
    scan: FolderScan,
    see: See[Seen],
    progress: Progress = lambda done, total: None,
    *,
    select: Sequence[str] = (),
) -> tuple[FolderScan, dict[str, Seen]]:
    """:func:`inspect`, and what ``see`` returned for each case that can be used, by its id."""
    stored: Counter[str] = Counter()
    problems: list[Problem] = []
    empty: list[str] = []
    descriptions: dict[str, Description] = {}
    seen: dict[str, Seen] = {}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        opened = pool.map(partial(_open, see=see, select=select), scan.cases)
        for done, (case, found) in enumerate(zip(scan.cases, opened, strict=True), 1):
            if isinstance(found, Problem):
                problems.append(found)
            elif not found.foreground:
                empty.append(case.id)
            elif found.description:
                descriptions[case.id] = found.description
            if isinstance(found, _Opened):
                stored[found.kind] += 1
                seen[case.id] = found.seen
            progress(done, len(scan.cases))
    known = {case.id: case.patient for case in scan.cases}
    inspected = replace(
        scan,
        problems=tuple(dict.fromkeys(problems)),
        empty=tuple(empty),
        suspicious=suspicious.find(descriptions, known),
        kind=kinds.of_cases([case for case in scan.cases if case.id in seen]) if seen else None,
        inspected=True,
        channels=tuple(f"{number} × {kind}" for kind, number in stored.most_common()),
    )
    return inspected, seen


def scan_lines(scan: FolderScan) -> list[str]:
    """The scan for a person, a fact per line."""
    cases = scan.cases
    files = len({mask for case in cases for mask in case.masks})
    most = max((len(case.masks) for case in cases), default=0)
    classes = scan.kind is not None and scan.kind.what == "classes"
    united = f", up to {most} per image" + ("" if classes else " (their union is the ground truth)") if most > 1 else ""
    known = len({case.patient for case in cases if case.patient})
    volumes = len({case.path for case in cases if case.plane is not None})
    stacked = f" (slices, frames or pages of {splits.counted(volumes, 'file')})" if volumes else ""
    lines = [
        f"{escaped(str(scan.folder))}: {scan.layout}",
        _line("images", f"{len(cases)}{stacked} with ground truth, {splits.counted(files, 'mask file')}{united}"),
        _line("patients", f"{known} known; from {scan.patients_from}" if known else scan.patients_from),
    ]
    if kinds := annotation_files(scan):
        read = ", ".join(f"{count} {name}" for name, count in kinds.items())
        lines.insert(2, _line("annotations", f"{read} among them"))
    if scan.split:
        sizes = ", ".join(f"{len(getattr(scan.split, part))} {part}" for part in splits.PARTS)
        lines.append(_line("split", f"the folder's own: {sizes}"))
    if scan.kind:
        lines.append(_line("masks show", scan.kind.reason + (POINTER if scan.kind.what == "instances" else "")))
    if scan.inspected:
        lines.append(_line("usable", f"{len(cases) - len(scan.problems)} of {len(cases)}"))
    if any("channels" in kind for kind in scan.channels):
        lines.append(_line("channels", "; ".join(scan.channels)))
    lines += [_line("warning", warning) for warning in scan.warnings]
    lines += _listing("images without a mask", scan.without_mask)
    lines += _listing("masks without an image", scan.without_image)
    lines += _listing("image or mask? not used as a mask", scan.ambiguous)
    lines += _not_understood(scan.not_understood)
    lines += _listing("masks without foreground", scan.empty)
    lines += [_line("cannot be used", escaped(problem.reason)) for problem in scan.problems]
    lines += [_line("suspicious", str(one)) for one in scan.suspicious]
    lines += [_line("skipped", f"{escaped(str(one.path))}: {one.reason}") for one in scan.skipped]
    return lines


def to_json(scan: FolderScan) -> dict[str, Any]:
    """The scan for a machine."""
    return {
        "folder": escaped(str(scan.folder)),
        "layout": scan.layout,
        "cases": [
            {
                "id": case.id,
                "patient": case.patient,
                "image": escaped(str(case.path)),
                "masks": [escaped(str(mask)) for mask in case.masks],
                **({} if case.plane is None else {"plane": case.plane + 1}),
            }
            for case in scan.cases
        ],
        "patients_from": scan.patients_from,
        "patients_unknown": sum(not case.patient for case in scan.cases),
        "split": splits.ids(scan.split) if scan.split else None,
        "warnings": list(scan.warnings),
        "without_mask": [escaped(str(path)) for path in scan.without_mask],
        "without_image": [escaped(str(path)) for path in scan.without_image],
        "annotations": annotation_files(scan),
        "not_understood": [escaped(str(path)) for path in scan.not_understood],
        "ambiguous": [escaped(str(path)) for path in scan.ambiguous],
        "no_foreground": list(scan.empty),
        "problems": _problems(scan.problems),
        "suspicious": [{"cases": list(one.cases), "reason": one.reason} for one in scan.suspicious],
        "skipped": _problems(scan.skipped),
        "clean": scan.clean,
        "masks_show": scan.kind.what if scan.kind else None,
        "classes": list(scan.kind.classes.names) if scan.kind and scan.kind.what == "classes" else [],
        "channels": list(scan.channels),
    }


def annotation_files(scan: FolderScan) -> dict[str, int]:
    """How many annotation files of each format the cases have; masks that are images do not count."""
    files = {mask for case in scan.cases for mask in case.masks}
    found = Counter(how.name for path in files if (how := annotations.format_of(path)))
    return dict(sorted(found.items()))


def _not_understood(paths: Iterable[Path]) -> list[str]:
    """A line for every kind of file."""
    kinds: dict[str, list[str]] = {}
    for path in paths:
        kinds.setdefault(path.suffix.lower(), []).append(escaped(path.name))
    lines = []
    for suffix, names in sorted(kinds.items()):
        kind = f"of kind {escaped(suffix)}" if suffix else "without a suffix"
        count, are = splits.counted(len(names), "file"), "is" if len(names) == 1 else "are"
        lines.append(_line("not read", f"{count} {kind} {are} no annotation that bioseg reads: {few(names)}"))
    return lines


def _open(case: Case, *, see: See[Seen], select: Sequence[str]) -> _Opened[Seen] | Problem:
    try:
        raw_image = reading.read_image(case)
        kind = channels.kind(raw_image)
        with reading.naming(case):
            raw_image = channels.select(raw_image, select) if select else raw_image
        masks = reading.read_by_name(case, (raw_image.pixels.shape[0], raw_image.pixels.shape[1]))
    except BiosegError as fault:
        return Problem(case.path, str(fault))
    mask = np.any([*masks.values()], axis=0)
    description = suspicious.describe(raw_image.pixels, mask) if case.masks else None
    return _Opened(kind, bool(mask.any()), description, see(case, raw_image, masks))


def _problems(problems: Iterable[Problem]) -> list[dict[str, str]]:
    return [{"path": escaped(str(one.path)), "reason": escaped(one.reason)} for one in problems]


def _line(what: str, text: str) -> str:
    return f"{what:<14} {text}"


def _listing(what: str, items: Iterable[Path | str]) -> list[str]:
    """A few of them by name, and how many there are."""
    names = [escaped(item.name) if isinstance(item, Path) else item for item in items]
    return [_line(what, f"{len(names)}: {few(names)}")] if names else []
