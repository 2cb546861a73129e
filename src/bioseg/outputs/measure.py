"""Measurements of predictions, one row per image or per object."""

import numpy as np
from skimage.measure import label, regionprops

from bioseg.images.formats import RawImage
from bioseg.outputs import identifiers
from bioseg.postprocess.masks import Prediction
from bioseg.types import Labels

COLUMNS = (
    "file", "mask", "rows", "cols", "area_px", "area_mm2", "area_um2", "spacing_from", "components", "mean_probability",
    "quality", "flag", *identifiers.COLUMNS,
)  # fmt: skip
OBJECT_COLUMNS = (
    "file", "object", "area_px", "area_mm2", "area_um2", "spacing_from", "centroid_row", "centroid_col", "left", "top",
    "width", "height", "mean_intensity", "eccentricity",
)  # fmt: skip

MICROSCOPIC_MM = 0.01
"""Where pixels are smaller, areas are in µm² instead of mm²."""

Values = tuple[object, ...]


def measure(prediction: Prediction, raw_image: RawImage) -> Values:
    """The values of :data:`COLUMNS` from ``rows`` to ``flag``.

    Size; area in px and, where the spacing is known, in mm² or µm², and who gives the spacing; number of 8-connected
    components; mean probability of the foreground; where the model estimates quality, the score in [0, 1]; the reasons to
    review the mask. Empty where unknown.
    """
    mask, quality = prediction.mask, prediction.quality
    area = int(mask.sum())
    return (
        *mask.shape,
        area,
        *_areas(area, raw_image, digits=3),
        int(label(mask).max()),
        round(float(np.mean(prediction.probability[mask])), 4) if area else "",
        round(quality.score, 4) if quality else "",
        "; ".join(prediction.reasons),
    )


def measure_objects(labels: Labels, raw_image: RawImage) -> list[Values]:
    """The values of :data:`OBJECT_COLUMNS` from ``object`` on, one row per object.

    The bounding box is ``left, top, width, height`` in px; the intensity is the stored one, rescaled, of several channels the
    mean over them; eccentricity runs from 0 (a circle) to 1 (a line).
    """
    pixels = raw_image.pixels[..., :3] if raw_image.colour else raw_image.pixels
    grey = pixels.mean(axis=-1) if pixels.ndim == 3 else pixels
    grey = grey * np.float32(raw_image.slope) + np.float32(raw_image.intercept)
    rows: list[Values] = []
    for part in regionprops(labels, grey):
        top, left, bottom, right = part.bbox
        rows.append(
            (
                part.label, int(part.area), *_areas(part.area, raw_image, digits=4),
                round(part.centroid[0], 2), round(part.centroid[1], 2), left, top, right - left, bottom - top,
                round(float(part.intensity_mean), 3), round(float(part.eccentricity), 4),
            )
        )  # fmt: skip
    return rows


def _areas(area_px: float, raw_image: RawImage, *, digits: int) -> Values:
    """In mm², in µm² (one of them, as the size of a pixel suggests), and who gives that size."""
    if raw_image.spacing_mm is None:
        return "", "", ""
    rows, cols = raw_image.spacing_mm
    if max(rows, cols) < MICROSCOPIC_MM:
        return "", round(area_px * rows * cols * 1e6, digits), raw_image.spacing_from
    return round(area_px * rows * cols, digits), "", raw_image.spacing_from
