"""Left ventricle in short-axis MR, in three layouts: DICOM with PNG labels, original Sunnybrook, Sunnybrook as PNG."""

import re
from pathlib import Path

from bioseg.datasets.layouts.common import read_table
from bioseg.types import BiosegError, Case


def list_cases(folder: Path) -> list[Case]:
    """Cases of whichever layout ``folder``, or the archive's own top folder in it, has.

    - ``training/*.dcm`` with ``training/*.png``, then ``test/*.dcm`` with ``test/GT/*.png`` (source "training", "test");
      the patient is the name up to its first ``_`` or ``-``.
    - ``dicoms/<patient>/<n>.dcm`` with ``contourfiles/<other name>/i-contours/IM-0001-<n>-…txt`` and ``link.csv``.
    - ``Images/…/<patient>-IM-….png`` with ``Labels/…`` of the same name.

    Raises:
        BiosegError: It has none of them.
    """
    for root in (folder, *(folder / name for name in ("lv_deeplearning", "sunnybrook", "sunnybrook-png"))):
        cases = _slices(root) or _contours(root) or _pngs(root)
        if cases:
            return sorted(cases, key=lambda case: case.id)
    raise BiosegError(
        f"{folder}: neither training/*.dcm, nor dicoms/ with contourfiles/ and link.csv, nor Images/**/*-IM-*.png here; "
        "give the unpacked folder of the set"
    )


def _slices(root: Path) -> list[Case]:
    cases = []
    for part, labels in (("training", root / "training"), ("test", root / "test" / "GT")):
        for image in (root / part).glob("*.dcm"):
            mask = labels / f"{image.stem}.png"
            cases.append(
                Case(
                    id=f"{part}/{image.stem}",
                    patient=re.split("[_-]", image.stem)[0],
                    image=image,
                    masks=(mask,) if mask.exists() else (),
                    source=part,
                )
            )
    return cases


def _contours(root: Path) -> list[Case]:
    if not (root / "link.csv").exists():
        return []
    cases = []
    for row in read_table(root / "link.csv"):
        if "patient_id" not in row or "original_id" not in row:
            raise BiosegError(f"{root / 'link.csv'}: columns {', '.join(row)}; expected patient_id,original_id")
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
