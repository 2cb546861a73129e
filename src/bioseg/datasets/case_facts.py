"""A case in a few numbers, from which pages and comparisons are made without its pixels; about half a kilobyte each."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import fft, ndimage

from bioseg.datasets.identity import content_hash
from bioseg.images.display import shrunk
from bioseg.images.formats import RawImage
from bioseg.types import Case, Mask

SIDE_PX = 512
"""Longest side of the copy whose intensities and sharpness are taken, and of that whose parts are counted."""
LOOK_PX, LOOK_BITS = 64, 16
"""Side of the square copy that :func:`look` describes, and of its block of low frequencies."""


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """An image and its ground truth in numbers.

    Attributes:
        shape: (rows, cols), px.
        channels: 1 for grey.
        spacing_mm: Distance between pixel centres (rows, cols); None where it is unknown.
        low: 1st percentile of the intensities, in the file's unit (HU for CT); colours and channels count by their mean.
        median: 50th percentile.
        high: 99th percentile.
        sharpness: Mean absolute Laplacian of the copy, by ``high − low``; 0 for an image of one value.
        foreground: Share of the image's area, [0, 1].
        classes: (name, share of the image's area) of the classes that the data name.
        objects: Mask files or boxes where there are several, else 8-connected parts of the mask.
        content: Hash of the pixels, see :func:`bioseg.datasets.identity.content_hash`.
        mask_content: Hash of the ground truth's pixels.
        look: See :func:`look`.
    """

    shape: tuple[int, int]
    channels: int
    spacing_mm: tuple[float, float] | None
    low: float
    median: float
    high: float
    sharpness: float
    foreground: float
    classes: tuple[tuple[str, float], ...]
    objects: int
    content: str
    mask_content: str
    look: bytes


def of_case(case: Case, raw_image: RawImage, masks: Mapping[str, Mask]) -> CaseFacts:
    """Take the numbers of a case.

    Args:
        case: With ground truth.
        raw_image: Its image.
        masks: [rows, cols] of each class by its name; of what has no name by "".
    """
    pixels = raw_image.pixels
    mask = np.any([*masks.values()], axis=0)
    shown = pixels[..., :3] if raw_image.colour else pixels
    grey = shrunk(shown if shown.ndim == 2 else shown.mean(axis=-1, dtype=np.float32), SIDE_PX)
    values = grey * np.float32(raw_image.slope) + np.float32(raw_image.intercept)
    low, median, high = (float(value) for value in np.percentile(values, (1, 50, 99)))
    return CaseFacts(
        shape=(mask.shape[0], mask.shape[1]),
        channels=1 if pixels.ndim == 2 else pixels.shape[-1],
        spacing_mm=raw_image.spacing_mm,
        low=low,
        median=median,
        high=high,
        sharpness=float(np.abs(ndimage.laplace(values)).mean()) / (high - low) if high > low else 0.0,
        foreground=float(mask.mean()),
        classes=tuple((name, float(one.mean())) for name, one in masks.items() if name),
        objects=_objects(case, mask),
        content=content_hash(raw_image),
        mask_content=_hash(masks),
        look=look(grey),
    )


def look(grey: NDArray[np.float32]) -> bytes:
    """A perceptual hash: which low frequencies of a small square copy lie above their median.

    Copies that were resized, compressed or made brighter differ in few bits.

    Args:
        grey: [rows, cols].

    Returns:
        ``LOOK_BITS``² bits; empty for an image of one value.
    """
    if np.ptp(grey) == 0:
        return b""
    small = np.array(Image.fromarray(grey).resize((LOOK_PX, LOOK_PX), Image.Resampling.BILINEAR))
    waves = np.asarray(fft.dctn(small, norm="ortho"))[:LOOK_BITS, :LOOK_BITS].ravel()
    waves[0] = 0  # the mean
    return np.packbits(waves > np.median(waves)).tobytes()


def _hash(masks: Mapping[str, Mask]) -> str:
    digest = hashlib.sha256()
    for name, mask in sorted(masks.items()):
        digest.update(f"{name} {mask.shape}".encode() + np.packbits(mask).tobytes())
    return digest.hexdigest()[:16]


def _objects(case: Case, mask: Mask) -> int:
    if case.boxes is not None and not case.masks:
        return len(case.boxes)
    if len(case.masks) > 1:
        return len(case.masks)
    step = max(1, max(mask.shape) // SIDE_PX)
    return int(ndimage.label(mask[::step, ::step], np.ones((3, 3)))[1])
