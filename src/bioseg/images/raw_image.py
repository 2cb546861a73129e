"""What an image file says, as a value; and the error for a file that no image can be had from."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bioseg.types import Array, BiosegError

AGAIN = "copy it again from where it came from"
"""The remedy for a damaged file."""


MAX_CHANNELS = 64
"""Of an image."""


class UnreadableImage(BiosegError):
    """A file no image can be had from. The message is one line: file, value, remedy."""


@dataclass(frozen=True)
class Acquisition:
    """How an image was taken, as its DICOM header says; empty where that does not say it.

    Attributes:
        modality: In capitals: ``CT``, ``MR``, ``DX`` …
        body_part: In capitals: ``CHEST`` …
        view: Of a projection ``PA``, ``AP``, ``LL`` …; of a slice the plane it is closest to: ``AXIAL``, ``CORONAL`` or
            ``SAGITTAL``.
    """

    modality: str = ""
    body_part: str = ""
    view: str = ""


@dataclass(frozen=True, eq=False)
class RawImage:
    """What a file says.

    Attributes:
        pixels: [rows, cols] or [rows, cols, channels], values as stored, in the machine's byte order; may be read-only.
            Colours of a palette are looked up, grey with alpha becomes RGBA, CMYK becomes RGB, 1-bit becomes 0 and 1 as
            uint8; 2- and 4-bit PNG come as 0 to 255, and 16-bit *colour* PNG in its upper 8 bits.
        spacing_mm: Distance between pixel centres (rows, cols), mm, where a DICOM header, OME-XML, ImageJ or Aperio gives
            it. The dots per inch of other files describe paper and are ignored.
        inverted: True where small values are bright: DICOM MONOCHROME1, TIFF "white is zero", ``RawFormat.inverted``.
        slope: DICOM rescale: ``pixels * slope + intercept`` is in Hounsfield units or the modality's own unit.
        intercept: See ``slope``.
        white: The largest value of ``pixels`` that the format or its bit depth can hold (1, 255, 4095, 65535; 32767 for
            signed 16-bit); None for floating point.
        spacing_from: Who gives ``spacing_mm``: "PixelSpacing", "ImagerPixelSpacing (at the detector, magnified)",
            "OME-TIFF", "ImageJ", "SVS", "volume", "microscope", "layout"; empty where there is none.
        channels: Names of measured channels (stains, sequences), numbers from 1 where the file has no names; empty for an
            image in grey, RGB or RGBA.
        acquisition: How it was taken; None where the file is not DICOM.
        slice_spacing_mm: Distance between the centres of neighbouring slices, mm, where the file says it.

    Raises:
        UnreadableImage: ``channels`` names another number of them than ``pixels`` has.
    """

    pixels: Array
    spacing_mm: tuple[float, float] | None = None
    inverted: bool = False
    slope: float = 1.0
    intercept: float = 0.0
    white: float | None = None
    spacing_from: str = ""
    channels: tuple[str, ...] = ()
    acquisition: Acquisition | None = None
    slice_spacing_mm: float | None = None

    def __post_init__(self) -> None:
        """Refuse names that are not one per channel."""
        found = 1 if self.pixels.ndim == 2 else self.pixels.shape[-1]
        if self.channels and len(self.channels) != found:
            raise UnreadableImage(f"{len(self.channels)} names for {found} channels; give one each")
        if not self.channels and found not in (1, 3, 4):
            raise UnreadableImage(f"{found} channels without names; give names, or pixels in grey, RGB or RGBA")

    @property
    def colour(self) -> bool:
        """Whether the channels are red, green, blue and perhaps alpha."""
        return self.pixels.ndim == 3 and not self.channels


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
    """What a file says of itself before its pixels are decoded.

    Attributes:
        shape: (rows, cols) of an image in it.
        decode: One of its planes, counted from 0 → the image.
        planes: Images of this shape that the file holds: frames, slices, points in time or pages.
        grid: Of a volume, whose slices the planes are.
        levels: (rows, cols) of each level of a pyramid, the largest first; empty where there is none.
    """

    shape: tuple[int, int]
    decode: Callable[[int], RawImage]
    planes: int = 1
    grid: Grid | None = None
    levels: tuple[tuple[int, int], ...] = ()


def from_pixels(pixels: Array, *, inverted: bool = False, channels: tuple[str, ...] = ()) -> RawImage:
    """Pixels with what their type says of them.

    Args:
        pixels: [rows, cols] or [rows, cols, channels]; bool becomes uint8. A NaN among numbers is fine, see
            :func:`bioseg.images.prepare.to_unit`.
        inverted: Whether small values are bright.
        channels: Names of measured channels. Without names 3 channels are RGB and 4 are RGBA; others are measured ones, and
            their names are numbers from 1.

    Raises:
        UnreadableImage: Another shape, no pixel, complex numbers, no numbers at all, or floats none of which is finite.
    """
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[-1] > MAX_CHANNELS):
        raise UnreadableImage(
            f"pixels of shape {pixels.shape}; give [rows, cols] or [rows, cols, channels], {MAX_CHANNELS} channels at most"
        )
    if not pixels.size:
        raise UnreadableImage(f"pixels of shape {pixels.shape}: none at all; give at least one row and column")
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    if not channels and pixels.ndim == 3 and pixels.shape[-1] not in (3, 4):
        channels = tuple(map(str, range(1, pixels.shape[-1] + 1)))
    if pixels.dtype == np.bool_:
        return RawImage(pixels.astype(np.uint8), inverted=inverted, white=1, channels=channels)
    if pixels.dtype.kind == "c":
        raise UnreadableImage(f"complex numbers ({pixels.dtype}); save their magnitude as a float image")
    if pixels.dtype.kind not in "uif":
        raise UnreadableImage(f"pixels of type {pixels.dtype}; save them as integers or floats")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).any():
        raise UnreadableImage(f"no number in it: all {pixels.size:,} values are NaN or infinite; export it again")
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    white = float(np.iinfo(pixels.dtype).max) if pixels.dtype.kind in "ui" else None
    return RawImage(pixels, inverted=inverted, white=white, channels=channels)


def check_size(shape: tuple[int, int], max_pixels: int, levels: tuple[tuple[int, int], ...] = ()) -> None:
    """Refuse what nobody can hold, or what has no pixels, before it is decoded; of a pyramid, name the level that fits.

    Raises:
        UnreadableImage: Less than 1 or more than ``max_pixels`` pixels.
    """
    rows, cols = shape
    if rows < 1 or cols < 1:
        raise UnreadableImage(f"{rows}×{cols} is an image without pixels; export it again")
    fits = next((number for number, (high, wide) in enumerate(levels) if high * wide <= max_pixels), 0)
    if rows * cols > max_pixels and fits:
        high, wide = levels[fits]
        raise UnreadableImage(f"{rows}×{cols} is more than {max_pixels:,} pixels; give --level {fits} ({high}×{wide})")
    if rows * cols > max_pixels:
        raise UnreadableImage(f"{rows}×{cols} is more than {max_pixels:,} pixels; shrink it or cut it into tiles first")
