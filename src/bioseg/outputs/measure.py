"""Measurements of predictions, one row per image or per object."""

import numpy as np
from skimage.measure import label, regionprops

from bioseg.images.formats import RawImage
from bioseg.outputs import identifiers
from bioseg.postprocess.masks import Prediction
from bioseg.types import Labels

COLUMNS = (
    "file", "mask", "rows", "cols", "area_px", "area_mm2", "components", "mean_probability", "quality", "flag",
    *identifiers.COLUMNS,
)  # fmt: skip
OBJECT_COLUMNS = (
    "file", "object", "area_px", "area_mm2", "centroid_row", "centroid_col", "left", "top", "width", "height",
    "mean_intensity", "eccentricity",
)  # fmt: skip

Values = tuple[object, ...]


def measure(prediction: Prediction, spacing_mm: tuple[float, float] | None) -> Values:
    """The values of :data:`COLUMNS` from ``rows`` to ``flag``.

    Size; area in px and, where the spacing is known, mm²; number of 8-connected components; mean probability of the foreground;
    where the model estimates quality, the score in [0, 1]; the reasons to review the mask. Empty where unknown.
    """
    mask, quality = prediction.mask, prediction.quality
    area = int(mask.sum())
    return (
        *mask.shape,
        area,
        round(area * spacing_mm[0] * spacing_mm[1], 3) if spacing_mm else "",
        int(label(mask).max()),
        round(float(np.mean(prediction.probability[mask])), 4) if area else "",
        round(quality.score, 4) if quality else "",
        "; ".join(prediction.reasons),
    )


def measure_objects(labels: Labels, raw_image: RawImage) -> list[Values]:
    """The values of :data:`OBJECT_COLUMNS` from ``object`` on, one row per object.

    The bounding box is ``left, top, width, height`` in px; the intensity is the stored one (of colours, the mean), rescaled;
    eccentricity runs from 0 (a circle) to 1 (a line).
    """
    grey = raw_image.pixels[..., :3].mean(axis=-1) if raw_image.pixels.ndim == 3 else raw_image.pixels
    grey = grey * np.float32(raw_image.slope) + np.float32(raw_image.intercept)
    scale = raw_image.spacing_mm[0] * raw_image.spacing_mm[1] if raw_image.spacing_mm else None
    rows: list[Values] = []
    for part in regionprops(labels, grey):
        top, left, bottom, right = part.bbox
        rows.append(
            (
                part.label, int(part.area), round(part.area * scale, 4) if scale else "",
                round(part.centroid[0], 2), round(part.centroid[1], 2), left, top, right - left, bottom - top,
                round(float(part.intensity_mean), 3), round(float(part.eccentricity), 4),
            )
        )  # fmt: skip
    return rows
