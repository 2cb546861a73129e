"""One page that shows a data set: what was found in it, what to look at first, and every image with its mask."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bioseg import files
from bioseg.classes import COLOURS
from bioseg.datasets import case_facts, duplicates, outlying, patients, splits
from bioseg.datasets.case_facts import CaseFacts
from bioseg.datasets.folders import FolderScan
from bioseg.datasets.inspection import See
from bioseg.datasets.tree import escaped
from bioseg.images.raw_image import RawImage
from bioseg.reports import templates, thumbnails
from bioseg.reports.distributions import HEIGHT, Distribution, counts, histogram, shares
from bioseg.reports.thumbnails import STEPS, Thumbnail
from bioseg.types import BiosegError, Case, Mask, Progress

MARKER = '<meta name="generator" content="bioseg data check">'
"""Every page has this line, by which a page of ours is known from a file of the user's."""
FIRST, FIRST_PX = 48, 224
"""Cases that stand out are shown larger, up to this number."""
ALL, SMALL_PX = 1000, 112
"""So many cases are shown small, taken evenly from all, and the longer side of each."""
GROUPS, MEMBERS = 40, 6
"""So many groups of duplicates are shown, and so many images of each."""
NAMES = 60
"""So many names of one kind are listed."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A case as it was found when its files were open.

    Attributes:
        facts: In numbers.
        drawn: Small; None where more cases are there than are shown.
    """

    facts: CaseFacts
    drawn: Thumbnail | None


@dataclass(frozen=True)
class Tile:
    """A case as the page shows it.

    Attributes:
        name: Its id.
        size: Rows and columns, in words.
        foreground: Share of the foreground, in words.
        reasons: Why to look at it; mostly none.
        drawn: The thumbnail.
    """

    name: str
    size: str
    foreground: str
    reasons: tuple[str, ...]
    drawn: Thumbnail


@dataclass(frozen=True)
class Finding:
    """Files of one kind that a person should know of.

    Attributes:
        title: What is wrong with them.
        remedy: What to do.
        items: Names, or reasons that begin with one.
    """

    title: str
    remedy: str
    items: tuple[str, ...]


def check_target(path: Path) -> None:
    """Refuse to write the page over something else.

    Raises:
        BiosegError: There is a file that is no such page, or a folder.
    """
    if path.is_dir():
        raise BiosegError(f"{path}: is a folder; give the name of a file, as {path / 'check.html'}")
    if path.exists() and MARKER.encode() not in files.read_bytes(path, "choose another name for --report")[:1000]:
        raise BiosegError(f"{path}: is not a page that `bioseg data check` wrote; choose another name for --report")


def viewer(cases: Sequence[Case]) -> See[Seen]:
    """What :func:`bioseg.datasets.inspection.examine` is to make of each of ``cases`` for the page.

    About a kilobyte is kept of a case, and four more of the first :data:`ALL` thumbnails.
    """
    chosen = {case.id for case in evenly(cases, ALL)}

    def see(case: Case, raw_image: RawImage, masks: Mapping[str, Mask]) -> Seen:
        drawn = thumbnails.thumbnail(raw_image, masks, SMALL_PX) if case.id in chosen else None
        return Seen(case_facts.of_case(case, raw_image, masks), drawn)

    return see


def write(
    scan: FolderScan,
    seen: Mapping[str, Seen],
    path: Path,
    progress: Progress = lambda done, total: None,
    *,
    select: Sequence[str] = (),
) -> None:
    """Write the page.

    Args:
        scan: What was found, with every file opened.
        seen: The cases that can be used, by id; see :func:`viewer`.
        path: The file; a page that was written before is replaced.
        progress: Hears how far the larger thumbnails are.
        select: The channels to show; empty: all.

    Raises:
        BiosegError: The path is taken by something else, or may not be written.
    """
    check_target(path)
    files.write(path, page(scan, seen, progress, select=select))


def page(
    scan: FolderScan,
    seen: Mapping[str, Seen],
    progress: Progress = lambda done, total: None,
    *,
    select: Sequence[str] = (),
) -> str:
    """The page as HTML; everything it shows is embedded in it."""
    facts = {name: one.facts for name, one in seen.items()}
    alike = duplicates.find(facts, scan.cases, scan.split)
    reasons = to_look_at(scan, facts)
    first = list(reasons)[:FIRST]
    members = [name for group in alike[:GROUPS] for name in group.cases[:MEMBERS]]
    drawn = {name: one.drawn for name, one in seen.items() if one.drawn}
    sizes = {name: SMALL_PX for name in members if name not in drawn} | dict.fromkeys(first, FIRST_PX)
    drawn |= thumbnails.draw({case: sizes[case.id] for case in scan.cases if case.id in sizes}, progress, select=select)
    others = [name for name in drawn if name not in {*first, *members}]

    def tiles(names: Sequence[str]) -> list[Tile]:
        return [tile(name, facts[name], reasons.get(name, ()), drawn[name]) for name in names if name in drawn]

    return (
        templates.environment()
        .get_template("check.html")
        .render(
            marker=MARKER,
            scan=scan,
            name=escaped(scan.folder.resolve().name),
            usable=len(facts),
            found=found(scan),
            findings=findings(scan),
            first=tiles(first),
            standing_out=len(reasons),
            groups=[(group, tiles(group.cases[:MEMBERS])) for group in alike[:GROUPS]],
            alike=alike,
            leaking=[group for group in alike if group.leaks],
            distributions=distributions(scan, facts),
            others=tiles(others),
            rest=len(facts) - len({*first, *members}),
            palette=["#{:02x}{:02x}{:02x}".format(*colour) for colour in COLOURS],
            colours={name: place % len(COLOURS) for place, name in enumerate(class_names(facts.values()))},
            height=HEIGHT,
            steps=STEPS,
            names=NAMES,
            members=MEMBERS,
        )
    )


def to_look_at(scan: FolderScan, facts: Mapping[str, CaseFacts]) -> dict[str, tuple[str, ...]]:
    """Why a case should be looked at, by its id: masks that may be wrong first, then images that stand out."""
    known = {case.id: case.patient for case in scan.cases}
    reasons: dict[str, list[str]] = {}
    for suspicion in scan.suspicious:
        for name in suspicion.cases:
            reasons.setdefault(name, []).append(_nameless(suspicion.reason, known.get(name, "")))
    for name, one in outlying.find(facts).items():
        reasons.setdefault(name, []).extend(one.reasons)
    return {name: tuple(words) for name, words in reasons.items() if name in facts}


def tile(name: str, facts: CaseFacts, reasons: tuple[str, ...], drawn: Thumbnail) -> Tile:
    """A case with what the page says of it."""
    rows, cols = facts.shape
    covered = f"{facts.foreground:.1%}" if facts.foreground else "no"
    return Tile(name, f"{rows} × {cols} px", f"{covered} foreground", reasons, drawn)


def found(scan: FolderScan) -> list[tuple[str, str]]:
    """(term, text): how the folder was understood."""
    masks = sum(len(case.masks) for case in scan.cases)
    known = {case.patient for case in scan.cases if case.patient}
    pairs = {
        "Folder": escaped(str(scan.folder)),
        "Layout": scan.layout,
        "Images": f"{len(scan.cases):,} with ground truth, {splits.counted(masks, 'mask file')}",
        "Masks show": scan.kind.reason if scan.kind else "",
        "Channels": ", ".join(scan.channels),
        "Patients": f"{len(known):,}, known from {scan.patients_from}" if known else scan.patients_from,
        "Split": "; ".join(_part(name, part) for name in splits.PARTS if (part := getattr(scan.split, name, ()))),
    }
    return [(term, text) for term, text in pairs.items() if text]


def _part(name: str, cases: Sequence[Case]) -> str:
    known = {case.patient for case in cases if case.patient}
    return f"{name}: {splits.counted(len(cases), 'image')}" + (f" of {len(known)} patients" if known else "")


def findings(scan: FolderScan) -> list[Finding]:
    """What cannot be used or was left out, with the remedy; kinds that do not occur are left out."""
    kinds = (
        ("Cannot be used", "Each line says what is wrong with the file and what to do.",
         [escaped(one.reason) for one in scan.problems]),
        ("Masks without an image", "Give them the name of their image, or take them out of the folder.",
         _names(scan.without_image, scan.folder)),
        ("Image or mask?", "PNG files beside an image of the same name that do not look like its mask; none is used as "
         "one. Call masks NAME_mask.png, or put them into masks/.", _names(scan.ambiguous, scan.folder)),
        ("Not read", "No image, and no annotation of a format that bioseg reads.",
         _names(scan.not_understood, scan.folder)),
        ("Masks without foreground", "Right where there is nothing to segment; otherwise the annotation is missing.",
         list(scan.empty)),
        ("Images without a mask", "They are left out of training. Add masks of the same names, or leave them.",
         _names(scan.without_mask, scan.folder)),
        ("Skipped", "Folders and files that were left alone.",
         [f"{_names([one.path], scan.folder)[0]}: {escaped(one.reason)}" for one in scan.skipped]),
    )  # fmt: skip
    return [Finding(title, remedy, tuple(items)) for title, remedy, items in kinds if items]


def distributions(scan: FolderScan, facts: Mapping[str, CaseFacts]) -> list[Distribution]:
    """How sizes, intensities, spacing, foreground and objects are distributed."""
    if not facts:
        return []
    all_facts = list(facts.values())
    spacings = [one.spacing_mm for one in all_facts if one.spacing_mm]
    unknown = len(all_facts) - len(spacings)
    known = [case.patient for case in scan.cases if case.patient and case.id in facts]
    low, high = (sorted(getattr(one, end) for one in all_facts)[len(all_facts) // 2] for end in ("low", "high"))
    made = [
        _sizes(all_facts),
        histogram("Intensity, median of each image", [one.median for one in all_facts], _value,
                  f"In a typical image, 1st to 99th percentile: {_value(low)} to {_value(high)}."),
        histogram("Contrast, 1st to 99th percentile", [one.high - one.low for one in all_facts], _value),
        histogram("Sharpness", [one.sharpness for one in all_facts], lambda value: f"{value:.3f}",
                  "Mean absolute Laplacian by contrast: blurred images lie left, noisy ones right."),
        histogram("Foreground, share of the image", [one.foreground for one in all_facts], lambda value: f"{value:.1%}"),
        histogram("Objects per image", [one.objects for one in all_facts], lambda value: f"{value:,.0f}",
                  "Mask files or boxes where an image has several, else connected parts of its mask."),
        shares("Class balance, mean share of the image", _balance(all_facts)),
    ]  # fmt: skip
    if spacings:
        note = f"Unknown for {unknown:,} images." if unknown else ""
        made.append(histogram("Spacing, mm", [rows for rows, _ in spacings], lambda value: f"{value:.3g}", note))
    if known:
        each = [known.count(name) for name in sorted(set(known))]
        made.append(histogram("Images per patient", each, lambda value: f"{value:.0f}", "Counts patients, not images."))
    return made


def evenly(cases: Sequence[Case], most: int) -> list[Case]:
    """All cases, or ``most`` of them at even distances."""
    return [cases[place * len(cases) // most] for place in range(most)] if len(cases) > most else list(cases)


def class_names(facts: Iterable[CaseFacts]) -> list[str]:
    """The classes that the data name, in their order; "" alone where they name none."""
    return list(dict.fromkeys(name for one in facts for name, _ in one.classes)) or [""]


def _balance(facts: Sequence[CaseFacts]) -> list[tuple[str, float]]:
    """(class, mean share); an image without a class counts as 0 of it."""
    names = class_names(facts)
    covered = {name: sum(dict(one.classes).get(name, 0.0) for one in facts) / len(facts) for name in names if name}
    total = sum(one.foreground for one in facts) / len(facts)
    return [("background", 1 - total), *(covered or {"foreground": total}).items()]


def _sizes(facts: Sequence[CaseFacts]) -> Distribution:
    each = [f"{one.shape[0]} × {one.shape[1]}{'' if one.channels == 1 else f' × {one.channels}'}" for one in facts]
    if len(set(each)) <= len(each) / 2:
        return counts("Size, rows × columns, px", each)
    return histogram("Size, longer side", [max(one.shape) for one in facts], lambda value: f"{value:.0f} px")


def _value(value: float) -> str:
    return (f"{value:,.0f}" if abs(value) >= 10 else f"{value:.3g}").replace("-", "−")


def _names(paths: Sequence[Path], folder: Path) -> list[str]:
    return [escaped(str(path.relative_to(folder) if path.is_relative_to(folder) else path)) for path in paths]


def _nameless(reason: str, patient: str) -> str:
    """The reason with the patient's name hashed, since pages are passed on."""
    if not patient or re.fullmatch(r"[0-9a-f]{12}", patient):
        return reason
    return reason.replace(f"patient {patient} ", f"patient {patients.hashed(patient.encode())} ")
