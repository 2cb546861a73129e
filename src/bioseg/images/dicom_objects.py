"""Which DICOM files are no images to segment: reports, presentation states, segmentations, plans, scouts."""

from pathlib import Path

from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag

NO_IMAGES = frozenset(
    {
        "SR", "PR", "KO", "SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "RTRECORD", "RTINTENT", "REG", "FID", "RWV", "DOC", "PLAN",
        "ECG", "HD", "EPS", "AU", "RESP", "SMR", "M3D", "STAIN", "TEXTUREMAP", "ANN",
    }
)  # fmt: skip
"""Modalities of objects that hold no image of a patient."""
RAW_DATA = "1.2.840.10008.5.1.4.1.1.66"
"""Storage class of a scanner's raw data; those of registrations and segmentations begin with it."""
SCOUT = "scout"

_TAGS: list[BaseTag | int] = [Tag(name) for name in ("ImageType", "SOPClassUID", "Modality")]


def kind_of_no_image(path: Path) -> str:
    """What a DICOM file holds instead of an image to segment: its modality or ``scout``; empty: an image, or no DICOM file.

    Only the first group of the header is read. A damaged file is named where its pixels are read.
    """
    try:
        with path.open("rb") as file:
            header = read_partial(file, lambda tag, vr, length: tag > _TAGS[-1], specific_tags=_TAGS, force=True)
        modality, kind = str(header.get("Modality", "")).strip().upper(), str(header.get("SOPClassUID", ""))
        if modality in NO_IMAGES:
            return modality
        if kind == RAW_DATA or kind.startswith(f"{RAW_DATA}."):
            return modality or "raw data"
        return SCOUT if "LOCALIZER" in _values(header.get("ImageType")) else ""
    except Exception:  # pydicom may raise anything for a file that is none of its own
        return ""


def _values(value: object) -> list[str]:
    return [str(value)] if isinstance(value, str) else list(map(str, value or ()))  # type: ignore[call-overload]
