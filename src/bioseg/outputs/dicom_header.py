"""The header of a DICOM image whose pixels were read before."""

import io
from pathlib import Path

from pydicom import Dataset, dcmread

MARK = b"DICM"


def read_header(source: Path | bytes) -> Dataset | None:
    """All of a DICOM file but its pixels; None where it is no DICOM file.

    Args:
        source: A file, or the content of one, that :func:`bioseg.images.formats.read` could read.
    """
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            marked = file.read(132)[128:] == MARK
            if not marked and not (isinstance(source, Path) and source.suffix.lower() == ".dcm"):
                return None
            file.seek(0)
            header = dcmread(file, force=True, stop_before_pixels=True)
            return header if "Rows" in header and "Columns" in header else None
    except Exception:  # pydicom may raise anything for a file that is none of its own
        return None


def numbers(header: Dataset, keyword: str, count: int) -> list[float] | None:
    """The values of an element; None where it is missing, damaged or has another number of values."""
    try:
        values = [float(value) for value in header[keyword].value]
    except Exception:  # of any kind, for a value that is not of its type
        return None
    return values if len(values) == count and all(abs(value) < float("inf") for value in values) else None
