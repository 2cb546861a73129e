"""Left ventricle in short-axis MR, in three layouts: DICOM with PNG labels, original Sunnybrook, Sunnybrook as PNG."""

import re
from dataclasses import replace
from pathlib import Path

from bioseg import files
from bioseg.datasets.layouts.common import OtherLayoutError
from bioseg.types import BiosegError, Case

TOPS = ("lv_deeplearning", "sunnybrook", "sunnybrook-png")
_SLICE = re.compile(r"(?P<patient>(?:SCD|P)\d+)[_-]\d+", re.I)


def list_cases(folder: Path) -> list[Case]:
    """Cases of whichever layout ``folder``, or the archive's own top folder in it, has.

    - ``training/*.dcm`` with ``training/*.png``, then ``test/*.dcm`` with ``test/GT/*.png`` (source "training", "test"),
      named ``<patient>_<slice>``.
    - ``dicoms/<patient>/<n>.dcm`` with ``contourfiles/<other name>/i-contours/IM-0001-<n>-…txt`` and ``link.csv``.
    - ``Images/…/<patient>-IM-….png`` with ``Labels/…`` of the same name.

    Raises:
        OtherLayoutError: It has none of them.
        BiosegError: It has several, which hold the same patients; or ``link.csv`` has other columns.
    """
    found = {}
    for root in (folder, *(folder / name for name in TOPS)):
        if cases := _slices(root) or _contours(root) or _pngs(root):
            found[root] = sorted(cases, key=lambda case: case.id)
    if len(found) > 1:
        names = ", ".join(str(root) for root in found)
        raise BiosegError(f"{folder}: holds several copies of the left ventricle data ({names}); give one of them")
    if not found:
        raise OtherLayoutError(
            f"{folder}: neither training/*.dcm, nor dicoms/ with contourfiles/ and link.csv, nor Images/**/*-IM-*.png here; "
            "give the unpacked folder of the set"
        )
    return next(iter(found.values()))


def list_cavity_and_myocardium(folder: Path) -> list[Case]:
    """The slices with both contours: the inner one bounds the cavity, what lies between the two is myocardium.

    As exclusive classes in this order: what both contours enclose is cavity.

    Raises:
        OtherLayoutError: No such slices lie here.
    """
    cases = [case for root in (folder, *(folder / name for name in TOPS)) for case in _contours(root)]
    both = [(case, case.masks[0].parents[1] / "o-contours" / _outer(case.masks[0])) for case in cases]
    names = ("LV cavity", "myocardium")
    found = [replace(case, masks=(*case.masks, outer), mask_classes=names) for case, outer in both if outer.exists()]
    if not found:
        raise OtherLayoutError(f"{folder}: no contourfiles/*/o-contours here; give the unpacked folder of the set")
    return sorted(found, key=lambda case: case.id)


def _outer(inner: Path) -> str:
    return inner.name.replace("-icontour-", "-ocontour-")


def _slices(root: Path) -> list[Case]:
    cases = []
    for part, labels in (("training", root / "training"), ("test", root / "test" / "GT")):
        for image in (root / part).glob("*.dcm"):
            if name := _SLICE.fullmatch(image.stem):
                mask = labels / f"{image.stem}.png"
                masks = (mask,) if mask.exists() else ()
                cases.append(Case(f"{part}/{image.stem}", name["patient"], image, masks, source=part))
    return cases


def _contours(root: Path) -> list[Case]:
    table = root / "link.csv"
    if not (table.exists() and (root / "contourfiles").is_dir()):
        return []
    cases = []
    for row in files.read_csv(table):
        if "patient_id" not in row or "original_id" not in row:
            raise BiosegError(f"{table}: columns {', '.join(row)}; expected patient_id,original_id")
        dicom, name = row["patient_id"], row["original_id"]
        for contour in (root / "contourfiles" / name / "i-contours").glob("IM-*.txt"):
            number = int(contour.name.split("-")[2])
            image = root / "dicoms" / dicom / f"{number}.dcm"
            if image.exists():
                cases.append(Case(f"{name}-{number:04d}", name, image, (contour,), source="Sunnybrook"))
    return cases


def _pngs(root: Path) -> list[Case]:
    return [
        Case(
            id=image.stem.removesuffix(".dcm"),
            patient=image.name.split("-IM")[0],
            image=image,
            masks=(mask,) if (mask := root / "Labels" / image.relative_to(root / "Images")).exists() else (),
            source="Sunnybrook",
        )
        for image in (root / "Images").rglob("*-IM-*.png")
    ]
