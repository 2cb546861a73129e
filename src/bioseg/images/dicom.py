"""DICOM files with one frame, read with pydicom."""

import math
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from bioseg.images.raw_image import Acquisition, Header, RawImage, UnreadableImage, from_pixels
from bioseg.types import printable

PLANES = ("SAGITTAL", "CORONAL", "AXIAL")
"""Of a slice whose normal points along x, y or z of the patient."""
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def open_header(file: BinaryIO) -> Header | None:
    """The header of a DICOM file.

    Returns:
        None where the file has no DICOM mark, and nothing in it looks like a DICOM image either.

    Raises:
        UnreadableImage: It holds no pixels, or more than one frame.
    """
    marked = file.read(132)[128:] == b"DICM"
    try:
        header = _dataset(file, pixels=False)
    except Exception:  # of a text file, say, that pydicom takes for DICOM without a mark
        if marked:
            raise
        return None
    if "Rows" not in header or "Columns" not in header:
        if not marked:
            return None
        if not header:
            raise ValueError("nothing after its first group")
        raise _without_pixels(header)
    frames = int(_number(header, "NumberOfFrames", 1))
    if frames not in (0, 1):
        raise UnreadableImage(f"{frames} frames in one DICOM file; save the one to use as a file of its own")
    return Header((int(header.Rows), int(header.Columns)), lambda plane: _decode(file))


def _dataset(file: BinaryIO, *, pixels: bool) -> Dataset:
    file.seek(0)
    dataset = dcmread(file, force=True, stop_before_pixels=not pixels)
    if "TransferSyntaxUID" not in dataset.file_meta:  # written without a preamble, as was once usual
        implicit, _ = dataset.original_encoding
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return dataset


def _decode(file: BinaryIO) -> RawImage:
    dataset = _dataset(file, pixels=True)
    if not any(keyword in dataset for keyword in _PIXELS):
        raise _without_pixels(dataset)
    _check_syntax(dataset.file_meta.TransferSyntaxUID)
    pixels = pixel_array(dataset)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        coloured = from_pixels(apply_color_lut(pixels, dataset))
        return replace(coloured, **_spacing(dataset), acquisition=_acquisition(dataset))
    raw_image = from_pixels(pixels)
    return replace(
        raw_image,
        **_spacing(dataset),
        acquisition=_acquisition(dataset),
        inverted=dataset.PhotometricInterpretation == "MONOCHROME1",
        slope=_number(dataset, "RescaleSlope", 1.0),
        intercept=_number(dataset, "RescaleIntercept", 0.0),
        white=None if raw_image.white is None else 2.0 ** (dataset.BitsStored - dataset.PixelRepresentation) - 1,
    )


def _without_pixels(dataset: Dataset) -> UnreadableImage:
    modality = str(dataset.get("Modality", "not stated"))[:16]
    return UnreadableImage(f"a DICOM file without pixels (modality {modality!r}); leave it out or export it again")


def _check_syntax(syntax: UID) -> None:
    """Refuse a transfer syntax that nothing here decodes."""
    if not syntax.is_transfer_syntax:
        raise UnreadableImage(
            f"DICOM transfer syntax {str(syntax)[:64]!r} is not known; convert it with 'gdcmconv --raw'"
        )
    if not syntax.is_compressed:
        return
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        available = False
    if not available:
        raise UnreadableImage(
            f"DICOM transfer syntax {syntax.name} is not supported here ('bioseg doctor' lists what is); "
            "convert it with 'gdcmconv --raw'"
        )


def _spacing(dataset: Dataset) -> dict[str, Any]:
    """Measured in the patient if given, else at the detector, which magnification makes a little too large."""
    for keyword, where in (("PixelSpacing", ""), ("ImagerPixelSpacing", " (at the detector, magnified)")):
        values = _value(dataset, keyword)
        if values is not None and not isinstance(values, str | float) and len(values) == 2:
            rows, cols = (_finite(value, 0.0) for value in values)
            if rows > 0 and cols > 0:
                return {"spacing_mm": (rows, cols), "spacing_from": f"{keyword}{where}"}
    return {}


def _acquisition(dataset: Dataset) -> Acquisition:
    return Acquisition(
        _word(dataset, "Modality"),
        _word(dataset, "BodyPartExamined"),
        _word(dataset, "ViewPosition") or _plane(dataset),
    )


def _plane(dataset: Dataset) -> str:
    """The plane that a slice is closest to; empty where it does not say how it lies in the patient."""
    values = _value(dataset, "ImageOrientationPatient")
    if values is None or isinstance(values, str | float) or len(values) != 6:
        return ""
    row, col = np.array([_finite(value, 0.0) for value in values]).reshape(2, 3)
    normal = abs(np.cross(row, col))
    return PLANES[int(normal.argmax())] if normal.max() > 0 else ""


def _word(dataset: Dataset, keyword: str) -> str:
    """The text of an optional element as one word of printable capitals; empty where it is missing or garbage."""
    value = _value(dataset, keyword)
    return printable(value)[:32].strip().upper() if isinstance(value, str) else ""


def _number(dataset: Dataset, keyword: str, default: float) -> float:
    return _finite(_value(dataset, keyword), default)


def _finite(value: Any, default: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return default
    return number if math.isfinite(number) else default


def _value(dataset: Dataset, keyword: str) -> Any:
    """The value of an optional element; None where it is missing or garbage, which pydicom finds on access."""
    try:
        return dataset.get(keyword)
    except Exception:  # pydicom may raise anything for a value that is not of its type
        return None
