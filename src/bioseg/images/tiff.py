"""TIFF read with tifffile; compressions that tifffile lacks are read with Pillow.

Which pages are channels and which are planes, that is slices, points in time or images of their own, is what OME-XML, ImageJ or
tifffile itself wrote into the file: axis C and the samples of a page are channels, all other axes are planes.
"""

import os
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile

from bioseg.images import pillow
from bioseg.images.raw_image import AGAIN, MAX_CHANNELS, Header, RawImage, UnreadableImage, from_pixels
from bioseg.images.tiff_metadata import Metadata, enlarged, read_metadata
from bioseg.types import Array

_ALPHA = (1, 2)
"""Extra samples that say how opaque a pixel is: associated and unassociated alpha."""


def open_header(file: BinaryIO, level: int = 0) -> Header:
    """The header of a TIFF; the smaller copies in a pyramid, and a slide's label and thumbnail, do not count as images.

    Args:
        file: At its beginning.
        level: Of a pyramid, 0 for the largest.

    Raises:
        UnreadableImage: There is no such level, its images are of several sizes, it has more than :data:`MAX_CHANNELS`
            channels, or a type of pixel that is not read.
    """
    name = os.path.basename(str(getattr(file, "name", "image")))  # by which OME-XML may call it
    tiff = TiffFile(file, name=name, _multifile=False)  # it may name other files too; none is opened
    if _next_page(tiff) >= tiff.filehandle.size:
        raise ValueError(f"{len(tiff.pages)} pages and no end of them")
    series = [one for one in tiff.series if not one.keyframe.is_reduced]
    if not series:
        raise ValueError("no image in it")
    if len(series[0].levels) > 1 or series[0].kind == "svs":
        series = series[:1]
    levels = tuple((one.keyframe.imagelength, one.keyframe.imagewidth) for one in series[0].levels)
    if level and not level < len(levels):
        raise UnreadableImage(f"level {level} is asked for, but it has {len(levels)}, from 0; choose another --level")
    if level:
        series = [series[0].levels[level]]
    page = series[0].keyframe
    frames = [_Frames(one, numbers) for one in series for numbers in _numbers(one)]
    channels = len(frames[0].numbers) * page.samplesperpixel
    if len({(one.keyframe.shape, one.keyframe.dtype, _numbers(one).shape[1]) for one in series}) > 1:
        raise UnreadableImage(f"{len(series)} images of several sizes in one TIFF; save the one to use as its own file")
    if channels > MAX_CHANNELS or len(frames[0].numbers) > 1 < page.samplesperpixel:
        raise UnreadableImage(f"{channels} channels; save at most {MAX_CHANNELS}, each as a page or all as samples")
    if page.dtype is None:
        kind = f"{page.bitspersample} bits and sample format {page.sampleformat}"
        raise UnreadableImage(f"TIFF of {kind} is not supported; save it as 8 or 16 bits or as float")
    factor = (levels[0][0] / levels[level][0], levels[0][1] / levels[level][1])
    metadata, depth = enlarged(read_metadata(tiff), factor), page.imagedepth
    found = max(len(tiff.pages), sum(len(one.numbers) for one in frames))
    if found < metadata.pages:
        raise UnreadableImage(
            f"{found} of the {metadata.pages} pages that its metadata name; {AGAIN}, or save its parts as one in Fiji"
        )

    def decode(plane: int) -> RawImage:
        number, slice_ = divmod(plane, depth)
        return _decode(file, frames[number], slice_ if depth > 1 else None, metadata)

    shape = (page.imagelength, page.imagewidth)
    return Header(shape, decode, len(frames) * depth, levels=levels if len(levels) > 1 else ())


def _next_page(tiff: Any) -> int:
    """Where the page after the last that was found should lie; 0 where there is none."""
    tiff.filehandle.seek(tiff.pages.next_page_offset)
    place = tiff.filehandle.read(tiff.tiff.offsetsize)
    return int.from_bytes(place, "little" if tiff.byteorder == "<" else "big")


@dataclass(frozen=True, eq=False)
class _Frames:
    """The frames of one plane.

    Attributes:
        series: That they belong to.
        numbers: In the series, one per channel that is a page of its own.
    """

    series: Any
    numbers: NDArray[np.intp]


def _numbers(series: Any) -> NDArray[np.intp]:
    """The frames of a series, [planes, channels]."""
    count, within = series.size // series.keyframe.size, 0
    while np.prod(series.shape[:within], dtype=np.int64) < count:
        within += 1
    numbers = np.arange(count).reshape(series.shape[:within])
    axes = series.axes[:within]
    if "C" not in axes:
        return numbers.reshape(-1, 1)
    return np.moveaxis(numbers, axes.index("C"), -1).reshape(-1, series.shape[axes.index("C")])


def _decode(file: BinaryIO, frames: _Frames, slice_: int | None, metadata: Metadata) -> RawImage:
    found = [_frame(file, frames.series, int(number), slice_) for number in frames.numbers]
    pixels = found[0].pixels if len(found) == 1 else np.stack([one.pixels for one in found], axis=-1)
    channels = found[0].channels
    if len(found) > 1:
        channels = tuple(map(str, range(1, len(found) + 1)))
    if metadata.channels and not (pixels.ndim == 3 and found[0].colour):
        channels = metadata.channels if len(metadata.channels) == max(1, len(channels)) else channels
    return replace(
        found[0], pixels=pixels, channels=channels, spacing_mm=metadata.spacing_mm, spacing_from=metadata.spacing_from
    )


def _frame(file: BinaryIO, series: Any, number: int, slice_: int | None) -> RawImage:
    """One frame as an image."""
    page = series.keyframe
    try:
        pixels = _pixels(file, series, number)
    except ValueError as fault:
        if "imagecodecs" not in str(fault):
            raise
        return _decode_compressed(file, series[number], page)
    pixels = pixels if slice_ is None else pixels[slice_]
    photometric = getattr(page.photometric, "name", "")
    if photometric == "PALETTE":
        return from_pixels((np.moveaxis(page.colormap, 0, -1)[pixels] >> 8).astype(np.uint8))
    if page.axes.startswith("S"):
        pixels = np.moveaxis(pixels, 0, -1)
    if page.samplesperpixel == 2 and page.extrasamples[-1:] and page.extrasamples[-1] in _ALPHA:
        return from_pixels(pixels[..., [0, 0, 0, 1]])
    return from_pixels(pixels, inverted=photometric == "MINISWHITE", channels=_channels(page))


def _channels(page: Any) -> tuple[str, ...]:
    """The numbers of a page's samples where they are measured channels; empty where they are grey, RGB or RGBA."""
    grey = getattr(page.photometric, "name", "").startswith("MINIS")
    measured = page.samplesperpixel > 4 or (page.samplesperpixel > 1 and grey)
    return tuple(map(str, range(1, page.samplesperpixel + 1))) if measured else ()


def _pixels(file: BinaryIO, series: Any, number: int) -> Array:
    """The values of a frame; ImageJ describes the first one alone where the others follow it without a gap."""
    page = series.keyframe
    if number < len(series):
        frame = series[number]
        if frame is None:
            raise UnreadableImage("lies in several files; open it in Fiji and save it as one")
        return np.asarray(frame.asarray(maxworkers=1))
    if series.dataoffset is None:
        raise ValueError(f"page {number + 1} is missing")
    dtype = page.dtype.newbyteorder(page.parent.byteorder)
    file.seek(series.dataoffset + number * page.size * dtype.itemsize)
    return np.frombuffer(file.read(page.size * dtype.itemsize), dtype).reshape(page.shape)


def _decode_compressed(file: BinaryIO, page: Any, key: Any) -> RawImage:
    """LZW, JPEG and fax: tifffile needs another package for them; Pillow does not, but knows fewer types of pixel."""
    from PIL.TiffImagePlugin import TiffImageFile

    bits = key.dtype == np.bool_
    try:
        file.seek(0)
        image = TiffImageFile(file)
        if not isinstance(page.index, int):  # below another page, where Pillow does not look
            raise SyntaxError
        image.seek(page.index)
        raw_image = pillow.decode(image)
        samples = 1 if raw_image.pixels.ndim == 2 else raw_image.pixels.shape[-1]
        exact = bits or key.dtype.itemsize <= raw_image.pixels.dtype.itemsize
        exact = exact and (key.colormap is not None or samples == key.samplesperpixel)
    except SyntaxError:  # raised by Pillow for a type of pixel or a compression it does not know
        exact = False
    if not exact:
        compression = getattr(key.compression, "name", key.compression)
        raise UnreadableImage(
            f"TIFF of {key.dtype} with {compression} compression is not supported; save it without compression, or "
            "pip install imagecodecs"
        )
    as_decoded = bits or key.colormap is not None
    return raw_image if as_decoded else from_pixels(raw_image.pixels.astype(key.dtype), channels=_channels(key))
