"""Files of pixels: PNG, JPEG, TIFF, GIF, BMP, DICOM and headerless ones, returned as the file has them.

Polarity, rescaling, windows and sizes are facts here and steps in :mod:`bioseg.images.prepare`. What a file is, its first
bytes log, not its name. A header is read first, so that a size nobody can hold is refused before anything is unpacked.
"""

import io
import logging
import math
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
from PIL import Image, ImageFile, ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from bioseg import files
from bioseg.types import Array, BiosegError, Labels, Mask, Probability, RawFormat

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".bmp", ".dcm"})
"""Lower-case suffixes of the files that describe themselves; DICOM files often have none, or any."""

MAX_PIXELS = 150_000_000

_PLUGINS: dict[bytes, type[ImageFile.ImageFile]] = {
    b"\x89PNG": PngImageFile,
    b"\xff\xd8\xff": JpegImageFile,
    b"GIF8": GifImageFile,
    b"BM": BmpImageFile,
}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ORIENTATION = 0x0112
_AGAIN = "copy it again from where it came from"


class UnreadableImage(BiosegError):
    """A file no image can be had from. The message is one line: file, value, remedy."""


@dataclass(frozen=True, eq=False)
class RawImage:
    """What a file says.

    Attributes:
        pixels: [rows, cols] or [rows, cols, 3 or 4] (RGB, RGBA), values as raw_image in the machine's byte order; may be
            read-only. Colours of a palette are looked up, grey with alpha becomes RGBA, CMYK becomes RGB, 1-bit becomes
            0 and 1 as uint8; 2- and 4-bit PNG come as 0 to 255, and 16-bit *colour* PNG in its upper 8 bits.
        spacing_mm: Distance between pixel centres (down rows, along cols) where a DICOM header gives it. The dots per
            inch of the other formats are those of paper and are not looked at.
        inverted: True where small values are bright: DICOM MONOCHROME1, TIFF "white is zero", ``RawFormat.inverted``.
        slope: DICOM rescale: ``pixels * slope + intercept`` is in Hounsfield units or whatever the modality counts in.
        intercept: See ``slope``.
        white: The largest value of ``pixels`` that the format or its bit depth can hold (1, 255, 4095, 65535; 32767 for
            signed 16-bit); None for floating point.
    """

    pixels: Array
    spacing_mm: tuple[float, float] | None = None
    inverted: bool = False
    slope: float = 1.0
    intercept: float = 0.0
    white: float | None = None


@dataclass(frozen=True)
class _Header:
    """(rows, cols) of a file, and how to go on and read the rest of it."""

    shape: tuple[int, int]
    decode: Callable[[], RawImage]


def read(source: Path | bytes, raw: RawFormat | None = None, *, max_pixels: int = MAX_PIXELS) -> RawImage:
    """Read one image.

    A JPEG's EXIF orientation is applied, since every viewer does and the masks drawn on it are upright. Of an animated
    GIF the first frame is read.

    Args:
        source: The file, or the content of one.
        raw: What a headerless file does not say of itself; None for all others.
        max_pixels: Images with more are refused from their header, before they are unpacked.

    Raises:
        UnreadableImage: The file is missing, empty, damaged, cut short, too large, of no known format, holds no
            image or more than one, or its size is not that of ``raw``.
    """
    path = _path(source)
    with _opened(source, raw) as header:
        rows, cols = header.shape
        if rows * cols > max_pixels:
            limit = f"more than {max_pixels:,} pixels"
            raise UnreadableImage(f"{path}: {rows}×{cols} is {limit}; shrink it or cut it into tiles first")
        raw_image = header.decode()
        if raw_image.pixels.shape[:2] != header.shape:
            raise ValueError(f"pixels {raw_image.pixels.shape}, header {header.shape}")
        return raw_image


def to_raw_image(source: RawImage | Array | Path | str | bytes) -> RawImage:
    """An image from a file, from the content of one, or from pixels.

    Args:
        source: A path; the bytes of a file; an array [rows, cols] or [rows, cols, 3 or 4]; or a raw image, as it is.

    Raises:
        UnreadableImage: There is no image in it.
    """
    if isinstance(source, RawImage):
        return source
    if isinstance(source, np.ndarray):
        if source.ndim not in (2, 3) or (source.ndim == 3 and source.shape[-1] not in (3, 4)):
            raise UnreadableImage(f"array of shape {source.shape}: give [rows, cols] or [rows, cols, 3 or 4]")
        return _stored(source)
    return read(source if isinstance(source, bytes) else Path(source))


def size(path: Path, raw: RawFormat | None = None) -> tuple[int, int]:
    """(rows, cols) as :func:`read` would return them, from the header alone.

    Raises:
        UnreadableImage: As :func:`read`, as far as a header tells.
    """
    with _opened(path, raw) as header:
        return header.shape


def is_image(path: Path) -> bool:
    """Whether a file's suffix, or for other suffixes the DICOM mark inside, says that :func:`read` is for it."""
    if path.name.startswith(".") or path.name == "DICOMDIR":
        return False
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def write_mask(path: Path, mask: Mask) -> None:
    """Write an 8-bit grey PNG, 255 inside and 0 outside, whole or not at all.

    Raises:
        BiosegError: It could not be written.
    """
    _write_png(path, mask.astype(np.uint8) * np.uint8(255))


def write_bytes(path: Path, values: Array) -> None:
    """Write uint8 [rows, cols] as a grey PNG, whole or not at all."""
    _write_png(path, values)


def write_labels(path: Path, labels: Labels) -> None:
    """Write 0 outside and one number an object as a 16-bit PNG, whole or not at all.

    Raises:
        BiosegError: There are more than 65,535 objects.
    """
    if labels.max(initial=0) > np.iinfo(np.uint16).max:
        raise BiosegError(f"{path}: {labels.max()} objects; a PNG numbers at most 65,535: cut the image in parts")
    _write_png(path, labels.astype(np.uint16))


def write_probability(path: Path, probability: Probability) -> None:
    """Write a 16-bit grey PNG, 65535 for 1, whole or not at all.

    Raises:
        BiosegError: It could not be written.
    """
    _write_png(path, np.rint(np.clip(probability, 0, 1) * 65535).astype(np.uint16))


def _write_png(path: Path, values: Array) -> None:
    png = io.BytesIO()
    Image.fromarray(values).save(png, "PNG")
    files.write(path, png.getvalue())


def _path(source: Path | bytes) -> Path:
    """What the source is called in messages."""
    return source if isinstance(source, Path) else Path("image given as bytes")


@contextmanager
def _opened(source: Path | bytes, raw: RawFormat | None) -> Iterator[_Header]:
    """A file's header; whatever goes wrong with the file until the end of the block becomes one line for a person."""
    path = _path(source)
    try:
        with _quiet(), io.BytesIO(source) if isinstance(source, bytes) else path.open("rb") as file:
            yield _raw(path, file, raw) if raw else _described(path, file)
    except (BiosegError, MemoryError):
        raise
    except FileNotFoundError:
        raise UnreadableImage(f"{path}: no such file; check the path") from None
    except Exception as fault:  # a decoder may stumble over a damaged file in any way
        if isinstance(fault, OSError) and fault.errno:
            raise UnreadableImage(f"{path}: {fault.strerror}; check that it is a file and may be read") from None
        reason = re.split(r"[\0-\x1f\x7f-\x9f]| - |\. ", str(fault))[0][:200] or type(fault).__name__
        raise UnreadableImage(f"{path}: damaged or cut short ({reason}); {_AGAIN}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Lets other packages keep to themselves what breaks a standard but does not matter; what matters is an error."""
    loggers = [logging.getLogger(name) for name in ("pydicom", "tifffile")]
    before = [logger.disabled for logger in loggers]
    try:
        with warnings.catch_warnings(action="ignore"):
            for logger in loggers:
                logger.disabled = True
            yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled


def _described(path: Path, file: BinaryIO) -> _Header:
    start = file.read(132)
    file.seek(0)
    for magic, plugin in _PLUGINS.items():
        if start.startswith(magic):
            return _with_pillow(plugin(file))
    if start.startswith(_TIFF):
        return _tiff(path, file)
    if start[128:] == b"DICM" or (start and path.suffix.lower() == ".dcm"):
        return _dicom(path, file)
    if not start:
        raise UnreadableImage(f"{path}: 0 bytes; {_AGAIN}")
    if path.suffix.lower() in (".img", ".raw"):
        raise UnreadableImage(f"{path}: no header says its size; give rows, cols and dtype as a RawFormat")
    raise UnreadableImage(f"{path}: of no known format (begins with {start[:4]!r}); save it as PNG, TIFF or DICOM")


def _with_pillow(image: ImageFile.ImageFile) -> _Header:
    turned = image.format == "JPEG" and image.getexif().get(_ORIENTATION, 1) >= 5
    shape = (image.width, image.height) if turned else (image.height, image.width)
    return _Header(shape, lambda: _from_pillow(image))


def _from_pillow(opened: ImageFile.ImageFile) -> RawImage:
    opened.load()
    image: Image.Image = opened
    if opened.format == "JPEG":
        image = ImageOps.exif_transpose(image)
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif image.mode in ("LA", "La", "PA"):
        image = image.convert("RGBA")
    elif image.mode in ("CMYK", "YCbCr", "LAB", "HSV", "RGBX"):
        image = image.convert("RGB")
    pixels = np.asarray(image)
    if image.mode == "I" and opened.format == "PNG":  # 16-bit grey in Pillow before 11
        pixels = pixels.astype(np.uint16)
    return _stored(pixels)


def _stored(pixels: Array, *, inverted: bool = False) -> RawImage:
    if pixels.dtype == bool:
        return RawImage(pixels.astype(np.uint8), inverted=inverted, white=1)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    white = float(np.iinfo(pixels.dtype).max) if np.issubdtype(pixels.dtype, np.integer) else None
    return RawImage(pixels, inverted=inverted, white=white)


def _tiff(path: Path, file: BinaryIO) -> _Header:
    from tifffile import TiffFile

    tiff = TiffFile(file, name=path.name)
    series = [one for one in tiff.series if not one.keyframe.is_reduced]  # without the small copies of a pyramid
    if not series:
        raise ValueError("no image in it")
    page = series[0].keyframe
    count = sum(one.size // one.keyframe.size for one in series) * page.imagedepth
    if count != 1:
        raise UnreadableImage(f"{path}: {count} images in one TIFF; save the one to use as a file of its own")
    if page.samplesperpixel not in (1, 3, 4):
        raise UnreadableImage(f"{path}: {page.samplesperpixel} channels; save 1 (grey), 3 (RGB) or 4 (RGBA)")
    return _Header((page.imagelength, page.imagewidth), lambda: _from_tiff(path, file, page))


def _from_tiff(path: Path, file: BinaryIO, page: Any) -> RawImage:
    try:
        pixels = page.asarray(maxworkers=1)
    except ValueError as fault:
        if "imagecodecs" not in str(fault):
            raise
        return _compressed_tiff(path, file, page)
    colours = page.photometric.name
    if colours == "PALETTE":
        return _stored((np.moveaxis(page.colormap, 0, -1)[pixels] >> 8).astype(np.uint8))
    if page.axes.startswith("S"):
        pixels = np.moveaxis(pixels, 0, -1)
    return _stored(pixels, inverted=colours == "MINISWHITE")


def _compressed_tiff(path: Path, file: BinaryIO, page: Any) -> RawImage:
    """LZW, JPEG and fax: tifffile needs another package for them; Pillow does not, but knows fewer kinds of pixel."""
    from PIL.TiffImagePlugin import TiffImageFile

    file.seek(0)
    try:
        raw_image = _from_pillow(TiffImageFile(file))
        exact = page.dtype == bool or page.dtype.itemsize <= raw_image.pixels.dtype.itemsize
    except SyntaxError:  # Pillow's word for a kind of pixel it does not know
        exact = False
    if not exact:
        kind = f"{page.dtype} with {page.compression.name} compression"
        raise UnreadableImage(f"{path}: {kind} is not supported; save it without compression")
    return (
        raw_image if page.dtype == bool or page.colormap is not None else _stored(raw_image.pixels.astype(page.dtype))
    )


def _dicom(path: Path, file: BinaryIO) -> _Header:
    header = _dataset(file, until="PixelData")
    if "Rows" not in header or "Columns" not in header:
        raise _without_pixels(path, header)
    frames = int(header.get("NumberOfFrames") or 1)
    if frames != 1:
        raise UnreadableImage(f"{path}: {frames} frames in one DICOM file; save the one to use as a file of its own")
    return _Header((int(header.Rows), int(header.Columns)), lambda: _from_dicom(path, file))


def _dataset(file: BinaryIO, until: Literal["PixelData"] | None = None) -> "Dataset":
    from pydicom import dcmread
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    file.seek(0)
    dataset = dcmread(file, force=True, stop_before_pixels=until is not None)
    if "TransferSyntaxUID" not in dataset.file_meta:  # written without a preamble, as was once usual
        implicit, _ = dataset.original_encoding
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return dataset


def _from_dicom(path: Path, file: BinaryIO) -> RawImage:
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    dataset = _dataset(file)
    if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise _without_pixels(path, dataset)
    packing = dataset.file_meta.TransferSyntaxUID
    if packing.is_compressed and not _can_unpack(packing):
        kind = f"pixels packed as {packing.name}"
        raise UnreadableImage(f"{path}: {kind}, which is not supported; unpack it with 'gdcmconv --raw'")
    pixels = pixel_array(dataset)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        return replace(_stored(apply_color_lut(pixels, dataset)), spacing_mm=_spacing(dataset))
    raw_image = _stored(pixels)
    return RawImage(
        raw_image.pixels,
        spacing_mm=_spacing(dataset),
        inverted=dataset.PhotometricInterpretation == "MONOCHROME1",
        slope=_number(dataset.get("RescaleSlope"), 1.0),
        intercept=_number(dataset.get("RescaleIntercept"), 0.0),
        white=None if raw_image.white is None else 2.0 ** (dataset.BitsStored - dataset.PixelRepresentation) - 1,
    )


def _without_pixels(path: Path, dataset: "Dataset") -> UnreadableImage:
    modality = str(dataset.get("Modality", "not stated"))[:16]
    return UnreadableImage(
        f"{path}: a DICOM file without pixels (modality {modality!r}); leave it out or export it anew"
    )


def _can_unpack(packing: "UID") -> bool:
    from pydicom.pixels.decoders.base import get_decoder

    try:
        return get_decoder(packing).is_available
    except NotImplementedError:
        return False


def _spacing(dataset: "Dataset") -> tuple[float, float] | None:
    """Measured in the patient if it can be, else at the detector, which magnification makes a little too large."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        values = dataset.get(keyword)
        if values is not None and not isinstance(values, str) and len(values) == 2:
            rows, cols = (_number(value, 0.0) for value in values)
            if rows > 0 and cols > 0:
                return rows, cols
    return None


def _number(value: Any, otherwise: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return otherwise
    return number if math.isfinite(number) else otherwise


def _raw(path: Path, file: BinaryIO, raw: RawFormat) -> _Header:
    dtype = np.dtype(raw.dtype)
    found, expected = file.seek(0, io.SEEK_END), math.prod(raw.shape) * dtype.itemsize
    file.seek(0)
    if found != expected:
        grid = f"{raw.shape[0]}×{raw.shape[1]} of {raw.dtype}"
        raise UnreadableImage(
            f"{path}: {found:,} bytes, but {grid} are {expected:,}; {_AGAIN}, or give its true shape and dtype"
        )

    def decode() -> RawImage:
        pixels = np.frombuffer(file.read(), dtype).reshape(raw.shape)
        return replace(_stored(pixels, inverted=raw.inverted), white=float(raw.white))

    return _Header(raw.shape, decode)
