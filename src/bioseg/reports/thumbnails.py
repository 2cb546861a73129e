"""Small copies of cases with the contour of their ground truth, as text that a page holds."""

import base64
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features
from skimage.measure import approximate_polygon, find_contours

from bioseg.datasets import cases as reading
from bioseg.images import channels, display
from bioseg.images.raw_image import RawImage
from bioseg.types import BiosegError, Case, Mask, Progress

QUALITY = 68
"""Of the compression, of 100."""
STEPS = 4
"""Contours are drawn in this part of a pixel of the thumbnail."""
TOLERANCE_PX = 0.3
"""Points that lie nearer than this to the line between their neighbours are left out of a contour."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A case to look at.

    Attributes:
        source: The image as a data URI.
        width: px.
        height: px.
        contours: (class, SVG path in ``STEPS``-th parts of a pixel) of each class that has foreground.
    """

    source: str
    width: int
    height: int
    contours: tuple[tuple[str, str], ...]


def draw(
    wanted: Mapping[Case, int], progress: Progress = lambda done, total: None, *, select: Sequence[str] = ()
) -> dict[str, Thumbnail]:
    """Thumbnails by the case's id; a case that can no longer be read has none.

    Args:
        wanted: The longest side of each, px.
        progress: Hears how far it is.
        select: The channels to show; empty: all.
    """
    found: dict[str, Thumbnail] = {}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        made_of = pool.map(partial(_drawn, select=select), wanted, wanted.values())
        for done, (case, made) in enumerate(zip(wanted, made_of, strict=True), 1):
            if made:
                found[case.id] = made
            progress(done, len(wanted))
    return found


def thumbnail(raw_image: RawImage, masks: Mapping[str, Mask], longest_px: int) -> Thumbnail:
    """An image of at most ``longest_px`` with the contours of ``masks``, which are on the image's own grid."""
    pixels = display.thumbnail(raw_image, longest_px)
    rows, cols = pixels.shape[:2]
    grey = bool((pixels == pixels[..., :1]).all())
    data = io.BytesIO()
    kind = "webp" if features.check("webp") else "jpeg"
    Image.fromarray(pixels[..., 0] if grey else pixels).save(data, kind, quality=QUALITY)
    source = f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"
    drawn = {name: " ".join(_paths(display.shrunk(mask, max(rows, cols)))) for name, mask in masks.items()}
    return Thumbnail(source, cols, rows, tuple((name, path) for name, path in drawn.items() if path))


def _drawn(case: Case, longest_px: int, *, select: Sequence[str]) -> Thumbnail | None:
    try:
        raw_image = reading.read_image(case)
        raw_image = channels.select(raw_image, select) if select else raw_image
        masks = reading.read_by_name(case, (raw_image.pixels.shape[0], raw_image.pixels.shape[1]))
    except BiosegError:
        return None
    return thumbnail(raw_image, masks, longest_px)


def _paths(covered: NDArray[np.float32]) -> Iterator[str]:
    """The closed contours of where pixels are covered by half; what is too small for that is drawn at half of its own."""
    level = min(0.5, float(covered.max()) / 2)
    if not level:
        return
    for contour in find_contours(np.pad(covered, 1), level):
        points = np.rint((approximate_polygon(contour, TOLERANCE_PX) - 0.5) * STEPS).astype(int)[:-1, ::-1]
        if len(points) > 2:
            moves = " ".join(f"{x} {y}" for x, y in np.diff(points, axis=0))
            yield f"M{points[0, 0]} {points[0, 1]}l{moves}z".replace(" -", "-")
