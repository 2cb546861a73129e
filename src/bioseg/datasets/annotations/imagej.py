"""ImageJ and Fiji: a ``.roi`` file, or a zip of them from the ROI Manager."""

import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from bioseg.datasets.annotations import drawing
from bioseg.datasets.annotations.annotation import AGAIN, Annotation, Points, Unusable
from bioseg.types import BiosegError, printable

MAX_BYTES = 64_000_000
"""Of one unpacked ROI."""
MAX_TOTAL = 500_000_000
MAX_ROIS = 200_000
_ENTRY = 30
"""Bytes of a zip before the name of its first entry."""
_AUTOMATIC = re.compile(r"\d+(-\d+)+")
_NUMBER = re.compile(r"[-_ #.]*\d+$")
_SAVED = "save it again in ImageJ"


def read(path: Path, shape: tuple[int, int], image: Path) -> list[Annotation]:
    """The regions in the order of the zip: polygons, freehand and traced ones, rectangles, ovals, and composites of lines.

    The class is the region's name without a number at its end; names that ImageJ makes of coordinates say none.

    Raises:
        Unusable: The file is damaged or too large, or a region has no area.
        BiosegError: The package roifile is not there.
    """
    try:
        import roifile
    except ImportError:
        raise BiosegError(
            f"{printable(path)}: needs the package roifile to be read; pip install 'bioseg[formats]'"
        ) from None
    found = []
    for entry, content in _contents(path):
        try:
            roi = roifile.ImagejRoi.frombytes(content)
            found.append(_drawn(roi, class_of(roi.name or Path(entry).stem), shape))
        except Unusable as fault:
            raise Unusable(f"{printable(entry)}: {fault}") from None
        except Exception as fault:  # roifile checks little
            reason = printable(str(fault))[:80]
            raise Unusable(f"{printable(entry)}: damaged or cut short ({reason}); {_SAVED}") from None
    return found


def class_of(name: str) -> str:
    """``nucleus-012`` → ``nucleus``; ``0012-0345`` → nothing."""
    return "" if _AUTOMATIC.fullmatch(name) else _NUMBER.sub("", name)


def is_zip_of_rois(path: Path) -> bool:
    """Whether a zip holds ROIs, by its first entry or, if that is something else, by its directory."""
    try:
        with path.open("rb") as file:
            start = file.read(_ENTRY + 256)
        length = int.from_bytes(start[26:28], "little")
        if start.startswith(b"PK\x03\x04") and start[_ENTRY : _ENTRY + length].lower().endswith(b".roi"):
            return True
        with zipfile.ZipFile(path) as archive:
            return any(name.lower().endswith(".roi") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, EOFError):
        return False


def _contents(path: Path) -> list[tuple[str, bytes]]:
    """(name, content) of every ROI."""
    if path.suffix.lower() == ".roi":
        if path.stat().st_size > MAX_BYTES:
            raise Unusable(f"{path.stat().st_size:,} bytes, more than {MAX_BYTES:,}; {AGAIN}")
        return [(path.stem, path.read_bytes())]
    found, total = [], 0
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename.lower().endswith(".roi")]
            if len(entries) > MAX_ROIS:
                raise Unusable(f"{len(entries):,} ROIs, more than {MAX_ROIS:,}; divide it into several files")
            for entry in entries:
                with archive.open(entry) as file:
                    content = file.read(MAX_BYTES + 1)
                total += len(content)
                if len(content) > MAX_BYTES or total > MAX_TOTAL:
                    raise Unusable(
                        f"{printable(entry.filename)} unpacks to too many bytes; it may be damaged: {_SAVED}"
                    )
                found.append((entry.filename, content))
    except Unusable:
        raise
    except Exception as fault:  # zipfile and zlib, for whatever is wrong with an archive
        raise Unusable(f"no zip, damaged or cut short ({printable(str(fault))[:80]}); {_SAVED}") from None
    return found


def _drawn(roi: Any, name: str, shape: tuple[int, int]) -> Annotation:
    from roifile import ROI_SUBTYPE, ROI_TYPE

    kind = roi.roitype
    if roi.subtype in (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.IMAGE, ROI_SUBTYPE.ARROW):
        raise Unusable(f"is {roi.subtype.name.lower()}, not a region; remove it")
    if roi.composite:
        rings = [ring for part in roi.coordinates(multi=True) for ring in _ring(part)]
        if not rings:
            raise Unusable(f"composite without vertices; {_SAVED}")
        return drawing.polygons(name, [rings], shape)
    if kind in (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED):
        return drawing.polygons(name, [[drawing.points(roi.coordinates().tolist())]], shape)
    if kind in (ROI_TYPE.RECT, ROI_TYPE.OVAL) and not (kind == ROI_TYPE.RECT and roi.rounded_rect_arc_size):
        corners = drawing.points(_corners(roi), kind.name.lower(), least=2)
        if kind == ROI_TYPE.RECT:
            return drawing.rectangle(name, corners, shape)
        (x, y), (across, down) = corners.mean(axis=0).tolist(), ((corners[1] - corners[0]) / 2).tolist()
        return drawing.ellipse(name, (x, y), (across, down), shape)
    what = "rounded rectangle" if kind == ROI_TYPE.RECT else getattr(kind, "name", "unknown").lower()
    raise Unusable(f"{what} is no region that is read; draw it as a polygon, or remove it")


def _corners(roi: Any) -> list[list[float]]:
    if roi.subpixelrect:
        return [[roi.xd, roi.yd], [roi.xd + roi.widthd, roi.yd + roi.heightd]]
    return [[roi.left, roi.top], [roi.right, roi.bottom]]


def _ring(part: Any) -> list[Points]:
    """A ring of a composite; a movement without lines is none."""
    distinct = np.unique(part, axis=0)
    return [drawing.points(part.tolist())] if len(distinct) > 2 else []
