"""Synthetic images with their truth: no real data, but the same kind of problem. All [rows, cols], drawn from ``rng``."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import ellipse

from bioseg.types import Box, Labels, Mask

Values = NDArray[np.float64]
Rng = np.random.Generator


ABDOMEN = ("liver", "spleen", "right kidney", "left kidney")


def nuclei(rng: Rng, size_px: int) -> tuple[NDArray[np.uint8], Labels]:
    """Nuclei under a microscope: bright on dark, dark on bright, or stained.

    Returns:
        RGB [rows, cols, 3] uint8 and one number a nucleus.
    """
    labels = np.zeros((size_px, size_px), np.int32)
    height = np.zeros((size_px, size_px))
    for number in range(1, int(rng.integers(6, 16)) + 1):
        radius = rng.uniform(0.04, 0.09, 2) * size_px
        row, col = rng.uniform(0, size_px, 2)
        rows, cols = ellipse(row, col, radius[0], radius[1], shape=labels.shape, rotation=rng.uniform(0, np.pi))
        free = labels[rows, cols] == 0
        if len(rows) and free.mean() > 0.9:
            labels[rows[free], cols[free]] = number
            height[rows[free], cols[free]] = rng.uniform(0.5, 1.0)
    height = ndimage.gaussian_filter(height, size_px / 128) * (1 + _smooth(rng, size_px, 0.15))
    noise = rng.normal(0, 0.03, (size_px, size_px, 1))
    match rng.integers(0, 3):
        case 0:  # fluorescence
            colours = (0.06 + 0.6 * height)[..., None] * np.ones(3)
        case 1:  # bright field
            colours = (0.85 - 0.5 * height)[..., None] * np.ones(3)
        case _:  # haematoxylin and eosin
            colours = np.array([0.88, 0.75, 0.86]) - height[..., None] * np.array([0.45, 0.5, 0.2])
    return _bytes(colours + noise), _renumbered(labels)


def chest(rng: Rng, shape: tuple[int, int]) -> tuple[Values, Mask, Mask]:
    """A frontal chest X-ray, bones white.

    Returns:
        Values in [0, 1]; the lung on the image's left side and the one on its right.
    """
    rows, cols = shape
    r, c = np.mgrid[0:rows, 0:cols] / np.array([rows, cols]).reshape(2, 1, 1)
    lungs = []
    for side in (-1, 1):
        centre = 0.5 + side * rng.uniform(0.17, 0.21)
        high, wide = rng.uniform(0.26, 0.32), rng.uniform(0.10, 0.14)
        top = 0.45 + rng.uniform(-0.03, 0.03)
        shape_of = ((r - top) / high) ** 2 + ((c - centre - side * 0.08 * (r - top)) / wide) ** 2 < 1
        lungs.append(shape_of & (r < top + high * rng.uniform(0.75, 0.9)))
    lung = lungs[0] | lungs[1]
    body = ((r - 0.6) / 0.62) ** 2 + ((c - 0.5) / 0.46) ** 2 < 1
    values = 0.08 + 0.55 * body - 0.35 * lung
    values += 0.05 * np.cos(2 * np.pi * (r * 14 + 6 * (c - 0.5) ** 2)) * lung  # ribs
    values += 0.2 * np.exp(-(((c - 0.5) / 0.05) ** 2)) * body  # spine
    values = ndimage.gaussian_filter(values, rows / 150)
    return np.clip(values * rng.uniform(0.8, 1.2) + rng.normal(0, 0.02, shape), 0, 1), lungs[0], lungs[1]


def ct_slice(rng: Rng, size_px: int) -> tuple[NDArray[np.int16], Mask]:
    """An axial CT slice of the chest in Hounsfield units, and its lungs."""
    r, c = np.mgrid[0:size_px, 0:size_px] / size_px
    body = ((r - 0.5) / rng.uniform(0.33, 0.38)) ** 2 + ((c - 0.5) / rng.uniform(0.42, 0.46)) ** 2 < 1
    lung = np.zeros_like(body)
    for side in (-1, 1):
        lung |= ((r - 0.48) / rng.uniform(0.19, 0.25)) ** 2 + (
            (c - 0.5 - side * 0.2) / rng.uniform(0.12, 0.15)
        ) ** 2 < 1
    spine = ((r - 0.72) / 0.07) ** 2 + ((c - 0.5) / 0.06) ** 2 < 1
    values = np.where(body, 40.0, -1000.0)
    values[lung & body] = rng.uniform(-880, -780)
    values[spine] = 400
    values = ndimage.gaussian_filter(values, size_px / 300) + rng.normal(0, 25, values.shape)
    return values.round().clip(-1024, 1500).astype(np.int16), np.asarray(lung & body)


def short_axis(rng: Rng, size_px: int) -> tuple[NDArray[np.uint16], Mask]:
    """A short-axis MR slice: a bright blood pool in a dark ring of muscle, and the pool as truth."""
    r, c = np.mgrid[0:size_px, 0:size_px] - size_px / 2
    row, col = rng.uniform(-0.05, 0.05, 2) * size_px
    inner = rng.uniform(0.05, 0.11) * size_px
    distance = np.hypot((r - row) * rng.uniform(0.9, 1.1), c - col)
    pool = distance < inner
    values = 0.25 + 0.5 * (np.hypot(r, c) < 0.42 * size_px) * (0.5 + _smooth(rng, size_px, 0.2))
    values[distance < inner * 1.5] = 0.15
    values[pool] = 0.85
    values[np.hypot(r - row + inner, c - col + 2.3 * inner) < inner * 0.9] = 0.8  # the other ventricle
    values = ndimage.gaussian_filter(values, size_px / 200) * (1 + _smooth(rng, size_px, 0.15))
    return (np.clip(values + rng.normal(0, 0.03, values.shape), 0, 1) * 900).astype(np.uint16), np.asarray(pool)


def abdomen(rng: Rng, size_px: int) -> tuple[NDArray[np.uint8], Labels]:
    """An axial slice with :data:`ABDOMEN`: 1, 2, 3 and 4 in the labels. The kidneys are alike but for their side."""
    r, c = np.mgrid[0:size_px, 0:size_px] / size_px
    shift = rng.uniform(-0.04, 0.04, 2)

    def ellipse(row: float, col: float, tall: float, wide: float) -> Mask:
        grown = rng.uniform(0.9, 1.1, 2)
        distance = ((r - row - shift[0]) / tall / grown[0]) ** 2 + ((c - col - shift[1]) / wide / grown[1]) ** 2
        return np.asarray(distance < 1)

    values = np.where(ellipse(0.5, 0.5, 0.36, 0.44), 0.3, 0.02)
    labels = np.zeros((size_px, size_px), np.int32)
    organs = (
        (0.42, 0.3, 0.2, 0.2, 0.62),
        (0.45, 0.76, 0.13, 0.09, 0.8),
        (0.68, 0.3, 0.08, 0.06, 0.95),
        (0.68, 0.68, 0.08, 0.06, 0.95),
    )
    for number, (row, col, tall, wide, brightness) in enumerate(organs, 1):
        organ = ellipse(row, col, tall, wide)
        labels[organ], values[organ] = number, brightness * rng.uniform(0.93, 1.07)
    values = ndimage.gaussian_filter(values, size_px / 200) * (1 + _smooth(rng, size_px, 0.04))
    return _bytes(values + rng.normal(0, 0.02, values.shape)), labels


def pneumonia(rng: Rng, size_px: int) -> tuple[NDArray[np.uint8], tuple[Box, ...]]:
    """A chest X-ray with none, one or two opacities, and a box around each in whole px."""
    values, left, right = chest(rng, (size_px, size_px))
    boxes = []
    r, c = np.mgrid[0:size_px, 0:size_px]
    for lung in (left, right):
        if rng.random() < 0.4:
            inside = np.argwhere(lung)
            row, col = inside[rng.integers(len(inside))]
            high, wide = rng.uniform(0.06, 0.12, 2) * size_px
            values = values + 0.35 * np.exp(-((((r - row) / high) ** 2 + ((c - col) / wide) ** 2) ** 2))
            top, x = max(0, int(row - high)), max(0, int(col - wide))
            boxes.append(Box(x, top, min(size_px, int(col + wide)) - x, min(size_px, int(row + high)) - top))
    return _bytes(values), tuple(boxes)


def _smooth(rng: Rng, size_px: int, deviation: float) -> Values:
    """A smooth field of that standard deviation."""
    return np.asarray(ndimage.zoom(rng.normal(0, deviation, (4, 4)), size_px / 4, order=1)[:size_px, :size_px])


def _bytes(values: Values) -> NDArray[np.uint8]:
    return (np.clip(values, 0, 1) * 255).round().astype(np.uint8)


def _renumbered(labels: Labels) -> Labels:
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)
