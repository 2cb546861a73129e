"""The image with the contours of its objects, to look at."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.segmentation import expand_labels, find_boundaries

from bioseg.classes import COLOURS
from bioseg.images import png
from bioseg.images.formats import RawImage
from bioseg.images.prepare import percentile_window, to_bytes
from bioseg.outputs.segmented import Segmented
from bioseg.types import Labels

CONTOUR = COLOURS[0]
"""Of the mask, where the model separates no objects."""

SMALLEST_PX, LARGEST_PX = 512, 2048
"""Longest side of an overlay: smaller images are enlarged by a whole number, larger ones shrunk."""


def write(path: Path, segmented: Segmented) -> None:
    """Write an RGB PNG: the image in grey or its own colours, and a contour just inside each object.

    The contour is two pixels wide, or more in a large overlay, so that it is seen when that is shown at 512 px. Objects that
    the model separates have colours that differ between neighbours; a mask has one colour, and so has each of several classes.

    Raises:
        BiosegError: It could not be written.
    """
    shown = _colours_of(segmented.raw_image)
    labels = segmented.objects
    place = _places(labels.shape)
    shown, labels = _resized(shown, labels.shape, place), labels[np.ix_(*place)]
    width = max(2, round(max(labels.shape) / SMALLEST_PX))
    edge = _contours(labels, width)
    if segmented.several:
        numbers = np.zeros(labels.max(initial=0) + 1, np.intp)
        for index, (_, own) in enumerate(segmented.by_class):
            numbers[np.unique(own[np.ix_(*place)])] = index % len(COLOURS)
    elif segmented.prediction.labels is not None:
        numbers = choose_colours(labels, reach=2 * width)
    else:
        numbers = np.zeros(labels.max(initial=0) + 1, np.intp)
    shown[edge] = np.array(COLOURS, np.uint8)[numbers[labels[edge]]]
    png.write_bytes(path, shown)


def choose_colours(labels: Labels, *, reach: int) -> NDArray[np.intp]:
    """An index into :data:`COLOURS` for each number; objects within ``reach`` px of each other differ while colours last."""
    count = int(labels.max(initial=0)) + 1
    near = expand_labels(labels, reach)
    pairs = np.concatenate([
        np.stack([near[:-1].ravel(), near[1:].ravel()], 1), np.stack([near[:, :-1].ravel(), near[:, 1:].ravel()], 1)
    ])  # fmt: skip
    pairs = np.unique(np.sort(pairs[(pairs[:, 0] != pairs[:, 1]) & pairs.all(axis=1)], axis=1), axis=0)
    neighbours: list[list[int]] = [[] for _ in range(count)]
    for low, high in pairs.tolist():
        neighbours[high].append(low)  # which has its colour by then
    chosen = [0] * count
    for number in range(1, count):
        taken = {chosen[other] for other in neighbours[number]}
        turn = [(number + step) % len(COLOURS) for step in range(len(COLOURS))]
        chosen[number] = next((colour for colour in turn if colour not in taken), turn[0])
    return np.array(chosen, np.intp)


def _contours(labels: Labels, width: int) -> NDArray[np.bool_]:
    """Pixels of objects within ``width`` px of their edge; the border of the image is an edge too."""
    edge = np.asarray(find_boundaries(np.pad(labels, 1), mode="inner"))[1:-1, 1:-1]
    for _ in range(width - 1):
        rest = np.where(edge, 0, labels)
        edge = edge | np.asarray(find_boundaries(np.pad(rest, 1), mode="inner"))[1:-1, 1:-1]
    return edge


def _colours_of(raw_image: RawImage) -> NDArray[np.uint8]:
    """[rows, cols, 3]: 8-bit colours as they are, all else in grey from its own 1st to 99th percentile, bright as meant."""
    pixels = raw_image.pixels
    if raw_image.colour and pixels.dtype == np.uint8:
        return np.array(pixels[..., :3])
    if pixels.ndim == 3 and raw_image.channels:  # the brightest channel at each pixel, each in a window of its own
        planes = [replace(raw_image, pixels=plane, channels=()) for plane in np.moveaxis(pixels, -1, 0)]
        return np.asarray(np.max([_colours_of(plane) for plane in planes], axis=0), np.uint8)
    values = np.asarray(pixels[..., :3].mean(axis=-1) if pixels.ndim == 3 else pixels, np.float32)
    finite = np.isfinite(values)
    values = np.where(finite, values, values[finite].min() if finite.any() else 0)
    grey = percentile_window(values * np.float32(np.sign(raw_image.slope) or 1), low=1.0, high=99.0)
    return np.repeat(to_bytes(1 - grey if raw_image.inverted else grey)[..., None], 3, axis=2)


def _places(shape: tuple[int, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The row, and the column, of the image that each of the overlay shows."""
    longest = max(shape)
    if longest <= LARGEST_PX:
        factor = -(-SMALLEST_PX // longest) if longest < SMALLEST_PX else 1
        return np.arange(shape[0] * factor) // factor, np.arange(shape[1] * factor) // factor
    rows, cols = (max(1, round(side * LARGEST_PX / longest)) for side in shape)
    return (np.arange(rows) * 2 + 1) * shape[0] // (2 * rows), (np.arange(cols) * 2 + 1) * shape[1] // (2 * cols)


def _resized(
    shown: NDArray[np.uint8], shape: tuple[int, ...], place: tuple[NDArray[np.intp], NDArray[np.intp]]
) -> NDArray[np.uint8]:
    """Enlarged pixel by pixel; shrunk by the mean of what each pixel covers."""
    rows, cols = (len(one) for one in place)
    if max(rows, cols) >= max(shape):
        return shown[np.ix_(*place)]
    return np.array(Image.fromarray(shown).resize((cols, rows), Image.Resampling.BOX))
