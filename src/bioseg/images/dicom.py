"""DICOM files, read with pydicom; each frame of a multi-frame file is an image.

Values are those of the modality: a modality LUT is looked up, a rescale is kept as slope and intercept (PS3.3 C.11.1). Windows and
VOI LUTs, which only say how to show them, are not applied.
"""

import io
import math
from dataclasses import replace
from functools import cache
from typing import Any, BinaryIO

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit, JPEGExtended12Bit

from bioseg.images import jpeg_12_bit
from bioseg.images.raw_image import Acquisition, Header, RawImage, UnreadableImage, from_pixels
from bioseg.types import Array, printable

_GDCM = "gdcm"
_PREFERRED = ("pillow", "pyjpegls", "pylibjpeg", "pydicom", _GDCM)
"""Which decoder is taken where several can: the small ones, and GDCM for what they cannot."""
PLANES = ("SAGITTAL", "CORONAL", "AXIAL")
"""Of a slice whose normal points along x, y or z of the patient."""
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def open_header(file: BinaryIO) -> Header | None:
    """The header of a DICOM file.

    Returns:
        None where the file has no DICOM mark, and nothing in it looks like a DICOM image either.

    Raises:
        UnreadableImage: It holds no pixels.
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
    frames = max(1, int(_number(header, "NumberOfFrames", 1)))
    if frames > 1:
        _check_length(file, header, frames)

    @cache
    def dataset() -> Dataset:
        return _dataset(file, pixels=True)

    return Header((int(header.Rows), int(header.Columns)), lambda plane: _decode(dataset(), plane), frames)


def _check_length(file: BinaryIO, header: Dataset, frames: int) -> None:
    """Refuse a file that is too short for its frames, where they are not compressed."""
    syntax = header.file_meta.TransferSyntaxUID
    if syntax.is_transfer_syntax and not (syntax.is_compressed or syntax.is_deflated):
        bits = frames * int(header.Rows) * int(header.Columns) * int(_number(header, "BitsAllocated", 1))
        if (found := file.seek(0, io.SEEK_END)) * 8 < bits:
            raise ValueError(f"{found:,} bytes for {frames} frames")


def _dataset(file: BinaryIO, *, pixels: bool) -> Dataset:
    file.seek(0)
    dataset = dcmread(file, force=True, stop_before_pixels=not pixels)
    if "TransferSyntaxUID" not in dataset.file_meta:  # written without a preamble, as was once usual
        implicit, _ = dataset.original_encoding
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return dataset


def _decode(dataset: Dataset, frame: int) -> RawImage:
    if not any(keyword in dataset for keyword in _PIXELS):
        raise _without_pixels(dataset)
    pixels = _pixels(dataset, frame)
    measures = _group(dataset, frame, "PixelMeasuresSequence")
    between = _number(measures, "SpacingBetweenSlices", 0.0)
    known: dict[str, Any] = {
        **(_spacing(measures) or _spacing(dataset)),
        "acquisition": _acquisition(dataset, frame),
        "slice_spacing_mm": abs(between or _number(dataset, "SpacingBetweenSlices", 0.0)) or None,
        "inverted": dataset.PhotometricInterpretation == "MONOCHROME1",
    }
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        return replace(from_pixels(apply_color_lut(pixels, dataset)), **known)
    if table := _value(dataset, "ModalityLUTSequence"):
        return replace(_looked_up(pixels, dataset, table[0]), **known)
    raw_image, values = from_pixels(pixels), _group(dataset, frame, "PixelValueTransformationSequence")
    return replace(
        raw_image,
        **known,
        slope=_number(values, "RescaleSlope", _number(dataset, "RescaleSlope", 1.0)),
        intercept=_number(values, "RescaleIntercept", _number(dataset, "RescaleIntercept", 0.0)),
        white=None if raw_image.white is None else 2.0 ** (dataset.BitsStored - dataset.PixelRepresentation) - 1,
    )


def _pixels(dataset: Dataset, frame: int) -> Array:
    decoder = _decoder(dataset)
    if decoder == _GDCM and dataset.file_meta.TransferSyntaxUID == JPEGExtended12Bit:
        return jpeg_12_bit.decode(dataset, frame)
    return pixel_array(dataset, index=frame, decoding_plugin=decoder)


def _looked_up(pixels: Array, dataset: Dataset, table: Dataset) -> RawImage:
    count, first, bits = table.LUTDescriptor
    item, own = Dataset(table), Dataset()
    item.LUTDescriptor = [count, first, 8 if bits <= 8 else 16]  # pydicom knows no others
    own.file_meta, own.ModalityLUTSequence = dataset.file_meta, [item]
    values = apply_modality_lut(pixels.astype(np.int32), own)  # which leaves room for any first value
    return replace(from_pixels(values), white=2.0**bits - 1)


def _group(dataset: Dataset, frame: int, keyword: str) -> Dataset:
    """The functional group of one frame, or else the one that all share; empty where there is none."""
    for place, index in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        groups = _value(dataset, place) or []
        group = _value(groups[index], keyword) if index < len(groups) else None
        if group:
            return group[0]  # type: ignore[no-any-return]
    return Dataset()


def _without_pixels(dataset: Dataset) -> UnreadableImage:
    modality = str(dataset.get("Modality", "not stated"))[:16]
    return UnreadableImage(f"a DICOM file without pixels (modality {modality!r}); leave it out or export it again")


def _decoder(dataset: Dataset) -> str:
    """The name of what decodes the pixels; empty where they are not compressed.

    Raises:
        UnreadableImage: Nothing here does.
    """
    syntax: UID = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_transfer_syntax:
        raise UnreadableImage(
            f"DICOM transfer syntax {str(syntax)[:64]!r} is not known; convert it with 'gdcmconv --raw'"
        )
    if not syntax.is_compressed:
        return ""
    if chosen := decoder_of(syntax, int(_number(dataset, "BitsStored", 8))):
        return chosen
    raise UnreadableImage(
        f"DICOM transfer syntax {syntax.name} is not supported here ('bioseg doctor' lists what is); "
        "convert it with 'gdcmconv --raw'"
    )


def decoder_of(syntax: UID, bits: int = 16) -> str:
    """Which of the installed decoders is used for a compression; empty: none can.

    Args:
        syntax: The transfer syntax.
        bits: Stored per sample; Pillow's JPEG decoders stop at 8.
    """
    if syntax == JPEGExtended12Bit and bits > 8:
        return _GDCM if jpeg_12_bit.AVAILABLE else ""
    try:
        available = get_decoder(syntax).available_plugins
    except NotImplementedError:
        return ""
    able = [plugin for plugin in available if plugin != "pillow" or syntax == JPEGBaseline8Bit or bits <= 8]
    return min(able, key=lambda plugin: _PREFERRED.index(plugin) if plugin in _PREFERRED else 99, default="")


def _spacing(dataset: Dataset) -> dict[str, Any]:
    """Measured in the patient if given, else at the detector, which magnification makes a little too large."""
    for keyword, where in (("PixelSpacing", ""), ("ImagerPixelSpacing", " (at the detector, magnified)")):
        values = _value(dataset, keyword)
        if values is not None and not isinstance(values, str | float) and len(values) == 2:
            rows, cols = (_finite(value, 0.0) for value in values)
            if rows > 0 and cols > 0:
                return {"spacing_mm": (rows, cols), "spacing_from": f"{keyword}{where}"}
    return {}


def _acquisition(dataset: Dataset, frame: int) -> Acquisition:
    orientation = _group(dataset, frame, "PlaneOrientationSequence")
    return Acquisition(
        _word(dataset, "Modality"),
        _word(dataset, "BodyPartExamined"),
        _word(dataset, "ViewPosition") or _plane(orientation) or _plane(dataset),
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
