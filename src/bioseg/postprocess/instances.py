"""From a map of insides and a map of cores to one number an object."""

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
    """How objects that touch are told apart.

    Attributes:
        marker_threshold: Above it a pixel belongs to a core; each connected core is an object.
        min_area_px: Smaller objects are dropped.
    """

    marker_threshold: Fraction = 0.5
    min_area_px: Annotated[int, Range(0)] = 12

    def __post_init__(self) -> None:
        """Refuse invalid values."""
        check(self, "postprocess.instances")


def find_objects(mask: Mask, core: Probability, how: Instances) -> Labels:
    """Flood the mask from the cores (a watershed on the core's probability); a part without a core is one object.

    Args:
        mask: [rows, cols].
        core: The same grid, [0, 1].
        how: Thresholds.

    Returns:
        [rows, cols], 1, 2, … from the top, without gaps.
    """
    seeds = label((core > how.marker_threshold) & mask)
    parts = label(mask)
    reached = np.zeros(parts.max() + 1, np.bool_)
    reached[np.unique(parts[seeds > 0])] = True
    without = ~reached[parts] & mask
    seeds[without] = parts[without] + seeds.max()
    # The plateau of a sure core is no guide: the depth inside the mask breaks ties.
    depth = ndimage.distance_transform_edt(mask)
    flooded = watershed(-core - depth / max(1.0, depth.max()) / 100, seeds, mask=mask)
    areas = np.bincount(flooded.ravel())
    kept = areas >= how.min_area_px
    kept[0] = False
    numbers = np.zeros(len(areas), np.int32)
    numbers[kept] = np.arange(1, kept.sum() + 1)
    return np.asarray(numbers[flooded], np.int32)
