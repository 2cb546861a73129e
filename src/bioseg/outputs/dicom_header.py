"""The header of a DICOM image whose pixels were read before."""

import io
from pathlib import Path

import numpy as np
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


def number(header: Dataset, keyword: str) -> float | None:
    """One number; None where it is missing, empty, damaged or not finite."""
    try:
        value = float(header[keyword].value)
    except Exception:  # of any kind, for a value that is not of its type
        return None
    return value if abs(value) < float("inf") else None


def spacing_in(header: Dataset) -> tuple[tuple[float, float] | None, str]:
    """Distance between pixel centres (rows, cols), mm, and where it comes from; (None, "") where nothing says.

    A ``PixelSpacing`` that equals ``ImagerPixelSpacing`` was not corrected for magnification (DICOM PS3.3, 10.7.1.3).
    """
    pixel, imager = (numbers(header, keyword, 2) for keyword in ("PixelSpacing", "ImagerPixelSpacing"))
    for values, name in ((pixel, "PixelSpacing"), (imager, "ImagerPixelSpacing")):
        if values is not None and min(values) > 0:
            magnified = imager is not None and np.allclose(values, imager, rtol=1e-6)
            return (values[0], values[1]), f"{name}: at the detector, magnified" if magnified else name
    return None, ""
