"""An image as a person looks at it: 8 bits, bright as meant, and small where it is one of many."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bioseg.images.prepare import percentile_window, to_bytes
from bioseg.images.raw_image import RawImage
from bioseg.types import Array


def as_rgb(raw_image: RawImage) -> NDArray[np.uint8]:
    """[rows, cols, 3]: 8-bit colours as they are, all else in grey from its own 1st to 99th percentile, bright as meant."""
    pixels = raw_image.pixels
    if raw_image.colour and pixels.dtype == np.uint8:
        return np.array(pixels[..., :3])
    if pixels.ndim == 3 and raw_image.channels:  # the brightest channel at each pixel, each in a window of its own
        planes = [replace(raw_image, pixels=plane, channels=()) for plane in np.moveaxis(pixels, -1, 0)]
        return np.asarray(np.max([as_rgb(plane) for plane in planes], axis=0), np.uint8)
    values = np.asarray(pixels[..., :3].mean(axis=-1) if pixels.ndim == 3 else pixels, np.float32)
    finite = np.isfinite(values)
    values = np.where(finite, values, values[finite].min() if finite.any() else 0)
    grey = percentile_window(values * np.float32(np.sign(raw_image.slope) or 1), low=1.0, high=99.0)
    return np.repeat(to_bytes(1 - grey if raw_image.inverted else grey)[..., None], 3, axis=2)


def thumbnail(raw_image: RawImage, longest_px: int) -> NDArray[np.uint8]:
    """The image as :func:`as_rgb` shows it, shrunk so that its longer side has at most ``longest_px``; never enlarged."""
    pixels = raw_image.pixels
    if raw_image.colour:
        pixels = pixels[..., :3]
    planes = [shrunk(plane, longest_px) for plane in (pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0))]
    small = planes[0] if pixels.ndim == 2 else np.stack(planes, axis=-1)
    if pixels.dtype == np.uint8:
        small = np.rint(small).astype(np.uint8)
    return as_rgb(replace(raw_image, pixels=small))


def shrunk(plane: Array, longest_px: int) -> NDArray[np.float32]:
    """[rows, cols], each pixel the mean of those it stands for, NaN left out; as it is where it is no larger."""
    values = plane.astype(np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        values = np.where(finite, values, values[finite].min(initial=np.float32(np.inf)) if finite.any() else 0)
    scale = min(1.0, longest_px / max(values.shape))
    if scale == 1:
        return values
    rows, cols = (max(1, round(side * scale)) for side in values.shape)
    return np.array(Image.fromarray(values).resize((cols, rows), Image.Resampling.BOX))
