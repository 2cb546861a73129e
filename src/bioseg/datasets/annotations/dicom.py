"""What DICOM images and the objects that refer to them say: identity, place in the patient, kind."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bioseg.datasets.annotations.annotation import AGAIN, Unusable

if TYPE_CHECKING:
    from pydicom import Dataset

SEGMENTATION, RT_STRUCTURES = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.481.3"
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
MAX_BYTES = 1_000_000_000
_MOST_OF_A_HEADER = 1024


@dataclass(frozen=True, eq=False)
class Plane:
    """An image's identity and where it lies.

    Attributes:
        uid: SOPInstanceUID.
        position: Of the centre of the first pixel, (x, y, z) in mm; None where the header does not say.
        along: [2, 3] directions of a row (to the right) and of a column (down), mm per pixel.
    """

    uid: str
    position: NDArray[np.float64] | None
    along: NDArray[np.float64] | None


def storage(path: Path) -> str:
    """The kind of object in a file if it is one of :data:`SEGMENTATION`, :data:`LABEL_MAP`, :data:`RT_STRUCTURES`; or empty.

    Only the first kilobyte is read.
    """
    from pydicom.filereader import read_file_meta_info

    try:
        with path.open("rb") as file:
            start = file.read(_MOST_OF_A_HEADER)
        if start[128:132] != b"DICM" or not any(
            uid.encode() in start for uid in (SEGMENTATION, LABEL_MAP, RT_STRUCTURES)
        ):
            return ""
        uid = str(read_file_meta_info(path).get("MediaStorageSOPClassUID", ""))
    except Exception:  # a damaged file may fail in any way; it is named where it is read
        return ""
    return uid if uid in (SEGMENTATION, LABEL_MAP, RT_STRUCTURES) else ""


def plane(image: Path) -> Plane:
    """Identity and place of an image.

    Raises:
        Unusable: It is no DICOM image.
    """
    header = header_of(image)
    uid = str(header.get("SOPInstanceUID", "")) if header is not None else ""
    if header is None or not uid:
        raise Unusable(f"{image.name} is no DICOM image, to which it could refer; give the image as DICOM")
    position = numbers(header, "ImagePositionPatient", 3)
    directions, spacing = numbers(header, "ImageOrientationPatient", 6), numbers(header, "PixelSpacing", 2)
    if position is None or directions is None or spacing is None or not (spacing > 0).all():
        return Plane(uid, None, None)
    return Plane(uid, position, directions.reshape(2, 3) * spacing[::-1, None])  # rows lie apart by the first number


def header_of(path: Path) -> "Dataset | None":
    """The elements of a header that :func:`plane` needs; None where it is no DICOM file."""
    from pydicom import dcmread

    keywords = ["SOPInstanceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"]
    try:
        return dcmread(path, stop_before_pixels=True, specific_tags=keywords, force=path.suffix.lower() == ".dcm")
    except Exception:  # of any kind, for a file that is none of its own
        return None


def open_object(path: Path) -> "Dataset":
    """All of a SEG or RTSTRUCT.

    Raises:
        Unusable: It is too large, packed as a whole, or damaged.
    """
    from pydicom import dcmread
    from pydicom.filereader import read_file_meta_info
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    if (size := path.stat().st_size) > MAX_BYTES:
        raise Unusable(f"{size:,} bytes, more than {MAX_BYTES:,}; export fewer images at a time")
    try:
        if read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            raise Unusable("is deflated as a whole; convert it with 'gdcmconv --raw'")
        return dcmread(path)
    except Unusable:
        raise
    except Exception as fault:
        raise Unusable(f"damaged or cut short ({str(fault)[:80]}); {AGAIN}") from None


def numbers(item: "Dataset", keyword: str, count: int = 0) -> NDArray[np.float64] | None:
    """The finite numbers of an element; None where it is missing, damaged or has another number of them (0: any)."""
    try:
        found = np.array([float(value) for value in item[keyword].value])
    except Exception:  # pydicom may raise anything for a value that is not of its type
        return None
    return found if len(found) == (count or len(found)) and all(map(math.isfinite, found)) else None


def sequence(item: "Dataset | None", keyword: str) -> "list[Dataset]":
    """The items of a sequence; none where it is missing."""
    value: Any = item.get(keyword) if item is not None else None
    return list(value) if value else []


def referenced(item: "Dataset | None") -> set[str]:
    """Every SOP Instance UID that is referred to anywhere in an object or an item of it."""
    found: set[str] = set()
    waiting = [item] if item is not None else []
    while waiting:
        for element in waiting.pop():
            if element.VR == "SQ":
                waiting.extend(element.value)
            elif element.keyword == "ReferencedSOPInstanceUID":
                found.add(str(element.value))
    return found
