"""From probability to mask: threshold, then clean-up."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from bioseg.types import Mask, Probability

EIGHT = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Postprocess:
    """What is done after the network, in this order.

    Attributes:
        threshold: Above it is inside.
        min_object: 8-connected objects smaller than this share of the picture are removed.
        max_hole: 4-connected holes smaller than this share are filled.
        keep_largest: So many objects are kept; 0: all.
    """

    threshold: float = 0.5
    min_object: float = 0.0
    max_hole: float = 0.0
    keep_largest: int = 0


def apply(probability: Probability, how: Postprocess) -> Mask:
    """The mask [rows, cols] of a probability map."""
    mask = np.asarray(probability > how.threshold)
    if how.min_object or how.keep_largest:
        mask = _objects(mask, how.min_object * mask.size, how.keep_largest)
    return _filled(mask, how.max_hole * mask.size) if how.max_hole else mask


def _objects(mask: Mask, smallest: float, count: int) -> Mask:
    labels, _ = ndimage.label(mask, EIGHT)
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    keep = (areas >= smallest) & (areas > 0)
    if count:
        keep[np.argsort(-areas, kind="stable")[count:]] = False
    return np.asarray(keep[labels])


def _filled(mask: Mask, largest: float) -> Mask:
    labels, _ = ndimage.label(~mask)
    areas = np.bincount(labels.ravel())
    edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    small = areas < largest
    small[edge] = False  # what touches the border is outside, not a hole
    small[0] = False
    return np.asarray(mask | small[labels])
