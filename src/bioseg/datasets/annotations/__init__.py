"""Annotations that other programs wrote: LabelMe, COCO, ImageJ, QuPath, cellpose, DICOM SEG and RTSTRUCT.

Every format has a module, whose ``read`` draws the objects of one image on the image's own grid.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bioseg.datasets.annotations import cellpose, coco, dicom, dicom_seg, geojson, imagej, labelme, rtstruct
from bioseg.datasets.annotations.annotation import AGAIN, Annotation, Unusable, numbered, united
from bioseg.types import BiosegError, printable

__all__ = ["COCO", "FORMATS", "Annotation", "Format", "format_of", "numbered", "read", "united"]


@dataclass(frozen=True)
class Format:
    """How annotations are stored.

    Attributes:
        name: For people.
        read: (file, (rows, cols) of the image, the image's file) → its objects; raises :class:`Unusable`.
        images: Whether files of this format hold the annotations of many images: file → names of image files, or SOP
            Instance UIDs. None: each belongs to one image.
    """

    name: str
    read: Callable[[Path, tuple[int, int], Path], list[Annotation]]
    images: Callable[[Path], frozenset[str]] | None = None


CELLPOSE, CELLPOSE_IMAGE = Format("cellpose _seg.npy", cellpose.read_seg), Format("cellpose masks", cellpose.read_image)
LABELME, GEOJSON = Format("LabelMe", labelme.read), Format("GeoJSON", geojson.read)
COCO = Format("COCO", coco.read, coco.images_of)
ROIS = Format("ImageJ ROIs", imagej.read)
SEG, STRUCTURES = (
    Format("DICOM SEG", dicom_seg.read, dicom_seg.images_of),
    Format("DICOM RTSTRUCT", rtstruct.read, rtstruct.images_of),
)
FORMATS = (CELLPOSE, CELLPOSE_IMAGE, LABELME, ROIS, GEOJSON, COCO, SEG, STRUCTURES)
_SNIFFED = 1 << 16
_OTHERS = frozenset({".jpg", ".jpeg", ".gif", ".bmp", ".csv", ".txt", ".xml"})


def read(path: Path, shape: tuple[int, int], image: Path, plane: int | None = None) -> list[Annotation]:
    """The objects that a file shows of one image, in the file's order. Threads may read at the same time.

    Args:
        path: The annotation file.
        shape: (rows, cols) of the image.
        image: The image's file: its name selects in a COCO file, its SOP Instance UID in DICOM objects.
        plane: Which frame of an image file that holds several, from 0, as only a DICOM SEG can say.

    Raises:
        BiosegError: It is of no known format, damaged, or does not fit the image; one line: file, value, remedy.
    """
    how = format_of(path)
    if not how:
        raise BiosegError(f"{printable(path)}: no annotation that bioseg reads; see docs/how-to/annotations.md")
    try:
        if plane is None:
            return how.read(path, shape, image)
        if how is SEG:
            return dicom_seg.read(path, shape, image, plane + 1)
        raise Unusable(f"{how.name} does not say which plane of {image.name} it shows; give a mask of as many planes")
    except Unusable as fault:
        raise BiosegError(f"{printable(path)}: {printable(fault)}") from None
    except MemoryError:
        raise BiosegError(f"{printable(path)}: larger than the free memory; divide it into several files") from None
    except OSError as fault:
        raise BiosegError(f"{printable(path)}: {fault.strerror or fault}; check the path") from None
    except BiosegError:
        raise
    except Exception as fault:  # a damaged file may fail in any way
        reason = f"{type(fault).__name__}: {printable(fault)[:80]}"
        raise BiosegError(f"{printable(path)}: damaged {how.name} ({reason}); {AGAIN}") from None


def format_of(path: Path) -> Format | None:
    """The format of an annotation file, by its name and beginning; None for masks and whatever else.

    Of a JSON file the beginning and the end are looked into, of others at most a kilobyte.
    """
    name, suffix = path.name.lower(), path.suffix.lower()
    if suffix in _OTHERS:
        return None
    if path.stem.lower().endswith("_cp_masks") and suffix in (".png", ".tif", ".tiff"):
        return CELLPOSE_IMAGE
    if suffix in (".png", ".tif", ".tiff") or not path.is_file():
        return None
    if name.endswith("_seg.npy"):
        return CELLPOSE
    if suffix in (".json", ".geojson"):
        return _json_format(path)
    if suffix == ".roi":
        return ROIS
    if suffix == ".zip":
        return ROIS if imagej.is_zip_of_rois(path) else None
    kind = dicom.storage(path)
    return STRUCTURES if kind == dicom.RT_STRUCTURES else SEG if kind else None


def _json_format(path: Path) -> Format | None:
    try:
        facts = path.stat()
        return _by_names_in(path, facts.st_size, facts.st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=64)
def _by_names_in(path: Path, size: int, time_ns: int) -> Format | None:
    """LabelMe, COCO or GeoJSON by the names that stand in its first and last 64 KB; kept, since one of COCO is every image's."""
    with path.open("rb") as file:
        ends = file.read(_SNIFFED)
        if size > _SNIFFED:
            file.seek(-_SNIFFED, 2)
            ends += file.read()
    if (
        sum(
            name in ends for name in (b'"images"', b'"annotations"', b'"categories"', b'"segmentation"', b'"file_name"')
        )
        > 1
    ):
        return COCO
    if b'"shapes"' in ends:
        return LABELME
    if path.suffix.lower() == ".geojson" or b'"FeatureCollection"' in ends or b'"Feature"' in ends:
        return GEOJSON
    return None
