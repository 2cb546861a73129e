"""Instance segmentation: from the foreground and its markers to one number per object."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from scipy import ndimage
from skimage.measure import label
from skimage.segmentation import watershed

from bioseg.specs import Fraction, Range, check
from bioseg.types import Labels, Mask, Probability


@dataclass(frozen=True)
class Instances:
    """How touching objects are separated.

    Attributes:
        marker_threshold: Pixels above it belong to a marker; each 8-connected marker is one object.
        min_area_px: Smaller objects are removed.
    """

    marker_threshold: Fraction = 0.5
    min_area_px: Annotated[int, Range(0)] = 12

    def __post_init__(self) -> None:
        """Refuse invalid values."""
        check(self, "postprocess.instances")


def find_objects(mask: Mask, marker: Probability, how: Instances) -> Labels:
    """Watershed of the mask from its markers, on the marker probability; a component without a marker is one object.

    Args:
        mask: [rows, cols].
        marker: Probability of a marker, same grid, [0, 1].
        how: Thresholds.

    Returns:
        [rows, cols], 0 in the background, 1, 2, … one number per object, without gaps.
    """
    seeds = label((marker > how.marker_threshold) & mask)
    parts = label(mask)
    reached = np.zeros(parts.max() + 1, np.bool_)
    reached[parts[seeds > 0]] = True
    without = ~reached[parts] & mask
    seeds[without] = parts[without] + seeds.max()
    # Marker probabilities saturate at 1: the distance to the background breaks ties.
    depth = ndimage.distance_transform_edt(mask)
    flooded = watershed(-marker - depth / max(1.0, depth.max()) / 100, seeds, mask=mask)
    areas = np.bincount(flooded.ravel())
    kept = areas >= how.min_area_px
    kept[0] = False
    numbers = np.zeros(len(areas), np.int32)
    numbers[kept] = np.arange(1, kept.sum() + 1)
    return np.asarray(numbers[flooded], np.int32)
