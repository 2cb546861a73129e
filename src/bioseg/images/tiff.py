"""TIFF with one image in it, read with tifffile; compressions that tifffile lacks are read with Pillow."""

from typing import Any, BinaryIO

import numpy as np
from tifffile import TiffFile

from bioseg.images import pillow
from bioseg.images.raw_image import Header, RawImage, UnreadableImage, from_pixels


def open_header(file: BinaryIO) -> Header:
    """The header of a TIFF; the smaller copies in a pyramid do not count as images.

    Raises:
        UnreadableImage: It holds more than one image, or another number of channels than 1, 3 or 4.
    """
    tiff = TiffFile(file, name="image")
    series = [one for one in tiff.series if not one.keyframe.is_reduced]
    if not series:
        raise ValueError("no image in it")
    page = series[0].keyframe
    count = sum(one.size // one.keyframe.size for one in series) * page.imagedepth
    if count != 1:
        raise UnreadableImage(f"{count} images in one TIFF; save the one to use as a file of its own")
    if page.samplesperpixel not in (1, 3, 4):
        raise UnreadableImage(f"{page.samplesperpixel} channels; save 1 (grey), 3 (RGB) or 4 (RGBA)")
    if page.dtype is None:
        kind = f"{page.bitspersample} bits and sample format {page.sampleformat}"
        raise UnreadableImage(f"TIFF of {kind} is not supported; save it as 8 or 16 bits or as float")
    return Header((page.imagelength, page.imagewidth), lambda plane: _decode(file, page))


def _decode(file: BinaryIO, page: Any) -> RawImage:
    try:
        pixels = page.asarray(maxworkers=1)
    except ValueError as fault:
        if "imagecodecs" not in str(fault):
            raise
        return _decode_compressed(file, page)
    photometric = getattr(page.photometric, "name", "")
    if photometric == "PALETTE":
        return from_pixels((np.moveaxis(page.colormap, 0, -1)[pixels] >> 8).astype(np.uint8))
    if page.axes.startswith("S"):
        pixels = np.moveaxis(pixels, 0, -1)
    return from_pixels(pixels, inverted=photometric == "MINISWHITE")


def _decode_compressed(file: BinaryIO, page: Any) -> RawImage:
    """LZW, JPEG and fax: tifffile needs another package for them; Pillow does not, but knows fewer types of pixel."""
    from PIL.TiffImagePlugin import TiffImageFile

    bits = page.dtype == np.bool_
    try:
        file.seek(0)
        raw_image = pillow.decode(TiffImageFile(file))
        exact = bits or page.dtype.itemsize <= raw_image.pixels.dtype.itemsize
    except SyntaxError:  # raised by Pillow for a type of pixel or a compression it does not know
        exact = False
    if not exact:
        compression = getattr(page.compression, "name", page.compression)
        raise UnreadableImage(
            f"TIFF of {page.dtype} with {compression} compression is not supported; save it without compression"
        )
    as_decoded = bits or page.colormap is not None
    return raw_image if as_decoded else from_pixels(raw_image.pixels.astype(page.dtype))
