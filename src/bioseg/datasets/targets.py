"""The planes a network is trained on: the mask itself, and others made from a case's ground truth."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bioseg.datasets import cases as reading
from bioseg.images import prepare
from bioseg.images.prepare import Placement, Preparation
from bioseg.types import Case, Labels, Mask

MARKER = 0.4
"""The marker of an object lies further from its edge than this share of its deepest point."""


def draw(case: Case, placement: Placement, how: Preparation) -> NDArray[np.bool_]:
    """The planes that ``how.planes`` names, on the prepared grid.

    ``foreground``: the mask, or where there are several classes, a mask each. ``marker``: the inner part of each object, by
    which objects that touch are told apart. ``presence``: all of the image if the mask has any foreground, else nothing.

    Returns:
        [len(how.planes), rows, cols].

    Raises:
        BiosegError: See :func:`bioseg.datasets.cases.each_part`.
    """
    labels = reading.read_labels(case, placement.shape, how.classes) if "marker" in how.targets else None
    if not how.classes.whole:
        masks = prepare.prepare_classes(reading.read_classes(case, placement.shape, how.classes), placement, how)
    elif labels is not None:
        masks = prepare.prepare_mask(labels > 0, placement, how)[None]
    else:
        masks = _foreground(case, placement, how)[None]
    others: dict[str, Mask] = {"presence": np.full(masks.shape[1:], masks.any())}
    if labels is not None:
        others["marker"] = prepare.prepare_mask(marker(labels), placement, how)
    return np.stack([*masks, *(others[name] for name in how.targets[1:])])


def marker(labels: Labels, *, share: float = MARKER) -> Mask:
    """The pixels of each object whose distance from its edge is above ``share`` of the largest in it.

    Args:
        labels: [rows, cols], 0 is background.
        share: [0, 1); every object keeps at least one pixel.
    """
    inner = np.zeros(labels.shape, np.bool_)
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        if box is None:
            continue
        own = np.pad(labels[box] == number, 1)
        depth = ndimage.distance_transform_edt(own)[1:-1, 1:-1]
        inner[box] |= depth > share * depth.max()
    return inner


def _foreground(case: Case, placement: Placement, how: Preparation) -> Mask:
    """The mask, its parts united before or after resizing as ``how`` says."""
    if how.merge == "before":
        return prepare.prepare_mask(reading.read_mask(case, placement.shape), placement, how)
    union = np.zeros(placement.grid, np.bool_)
    for part in reading.each_part(case, placement.shape):
        union |= prepare.prepare_mask(part.mask, placement, how)
    return union
