"""What an image file says, as a value; and the error for a file that no image can be had from."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bioseg.types import Array, BiosegError

AGAIN = "copy it again from where it came from"
"""The remedy for a damaged file."""


class UnreadableImage(BiosegError):
    """A file no image can be had from. The message is one line: file, value, remedy."""


@dataclass(frozen=True, eq=False)
class RawImage:
    """What a file says.

    Attributes:
        pixels: [rows, cols] or [rows, cols, 3 or 4] (RGB, RGBA), values as stored, in the machine's byte order; may be
            read-only. Colours of a palette are looked up, grey with alpha becomes RGBA, CMYK becomes RGB, 1-bit becomes
            0 and 1 as uint8; 2- and 4-bit PNG come as 0 to 255, and 16-bit *colour* PNG in its upper 8 bits.
        spacing_mm: Distance between pixel centres (rows, cols), mm, where a DICOM header gives it. The dots per inch of
            the other formats describe paper and are ignored.
        inverted: True where small values are bright: DICOM MONOCHROME1, TIFF "white is zero", ``RawFormat.inverted``.
        slope: DICOM rescale: ``pixels * slope + intercept`` is in Hounsfield units or the modality's own unit.
        intercept: See ``slope``.
        white: The largest value of ``pixels`` that the format or its bit depth can hold (1, 255, 4095, 65535; 32767 for
            signed 16-bit); None for floating point.
        slice_spacing_mm: Distance between the centres of neighbouring slices, mm, where the file says it.
    """

    pixels: Array
    spacing_mm: tuple[float, float] | None = None
    inverted: bool = False
    slope: float = 1.0
    intercept: float = 0.0
    white: float | None = None
    slice_spacing_mm: float | None = None


@dataclass(frozen=True)
class Grid:
    """The voxels of a volume, and where they lie in the patient.

    Attributes:
        shape: Voxels along each axis of the file.
        affine: Three rows of four numbers: from a voxel's indices to mm to the patient's right, front and top (RAS), as in
            NIfTI. Where the file does not place it, the first axis runs to the patient's left and the second to the back.
        placed: Whether the file says so.
    """

    shape: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]
    placed: bool = True


@dataclass(frozen=True)
class Header:
    """What is known of a file before its pixels are decoded.

    Attributes:
        shape: (rows, cols) of an image in it.
        decode: One of its planes, counted from 0 → the image.
        planes: Images of this shape that the file holds: frames, slices or pages.
        grid: Of a volume, whose slices the planes are.
    """

    shape: tuple[int, int]
    decode: Callable[[int], RawImage]
    planes: int = 1
    grid: Grid | None = None


def from_pixels(pixels: Array, *, inverted: bool = False) -> RawImage:
    """Pixels with what their type says of them.

    Args:
        pixels: [rows, cols] or [rows, cols, 3 or 4]; bool becomes uint8. A NaN among numbers is fine, see
            :func:`bioseg.images.prepare.to_unit`.
        inverted: Whether small values are bright.

    Raises:
        UnreadableImage: Another shape, no pixel, complex numbers, no numbers at all, or floats none of which is finite.
    """
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[-1] not in (3, 4)):
        raise UnreadableImage(f"pixels of shape {pixels.shape}; give [rows, cols] or [rows, cols, 3 or 4]")
    if not pixels.size:
        raise UnreadableImage(f"pixels of shape {pixels.shape}: none at all; give at least one row and column")
    if pixels.dtype == np.bool_:
        return RawImage(pixels.astype(np.uint8), inverted=inverted, white=1)
    if pixels.dtype.kind == "c":
        raise UnreadableImage(f"complex numbers ({pixels.dtype}); save their magnitude as a float image")
    if pixels.dtype.kind not in "uif":
        raise UnreadableImage(f"pixels of type {pixels.dtype}; save them as integers or floats")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).any():
        raise UnreadableImage(f"no number in it: all {pixels.size:,} values are NaN or infinite; export it again")
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    white = float(np.iinfo(pixels.dtype).max) if pixels.dtype.kind in "ui" else None
    return RawImage(pixels, inverted=inverted, white=white)


def check_size(shape: tuple[int, int], max_pixels: int) -> None:
    """Refuse what nobody can hold, or what has no pixels, before it is decoded.

    Raises:
        UnreadableImage: Less than 1 or more than ``max_pixels`` pixels.
    """
    rows, cols = shape
    if rows < 1 or cols < 1:
        raise UnreadableImage(f"{rows}×{cols} is an image without pixels; export it again")
    if rows * cols > max_pixels:
        raise UnreadableImage(f"{rows}×{cols} is more than {max_pixels:,} pixels; shrink it or cut it into tiles first")
