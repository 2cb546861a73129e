"""From probability to mask: threshold, then clean-up."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from scipy import ndimage

from bioseg.postprocess.boxes import Boxes, find_boxes
from bioseg.postprocess.instances import Instances, find_objects
from bioseg.specs import Fraction, Range, check
from bioseg.types import Box, Labels, Mask, Probability, QualityEstimate

EIGHT = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Postprocess:
    """What is done after the network, in this order.

    Attributes:
        threshold: Above it is inside.
        min_object: 8-connected objects smaller than this share of the image are removed.
        max_hole: 4-connected holes smaller than this share are filled.
        keep_largest: So many objects are kept; 0: all.
        never_empty: For what is in every image: where nothing lies above the threshold, what lies above half of the
            highest probability is inside.
        instances: Progress objects apart by the output ``core``.
        boxes: Draw boxes around what is left; the output ``anywhere`` is the image's own probability.
    """

    threshold: Fraction = 0.5
    min_object: Fraction = 0.0
    max_hole: Fraction = 0.0
    keep_largest: Annotated[int, Range(0)] = 0
    never_empty: bool = False
    instances: Instances | None = None
    boxes: Boxes | None = None

    def __post_init__(self) -> None:
        """Refuse invalid values."""
        check(self, "postprocess")


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of one image.

    Attributes:
        mask: [rows, cols], True inside, cleaned up.
        probability: The same grid, [0, 1].
        labels: One number an object; None where the recipe tells none apart.
        boxes: Surest first; None where the recipe draws none.
        quality: How far to trust it; None where the model cannot tell.
    """

    mask: Mask
    probability: Probability
    labels: Labels | None = None
    boxes: tuple[Box, ...] | None = None
    quality: QualityEstimate | None = None


def finish(outputs: dict[str, Probability], how: Postprocess) -> Prediction:
    """All that follows from the network's outputs, each [rows, cols] in [0, 1] under its name in ``preparation.targets``."""
    probability = outputs["foreground"]
    mask = apply(probability, how)
    if how.instances:
        labels = find_objects(mask, outputs["marker"], how.instances)
        return Prediction(labels > 0, probability, labels)
    if how.boxes:
        whole = float(outputs["presence"].mean()) if "presence" in outputs else 1.0
        return Prediction(mask, probability, boxes=find_boxes(mask, probability, how.boxes, whole=whole))
    return Prediction(mask, probability)


def apply(probability: Probability, how: Postprocess) -> Mask:
    """The mask [rows, cols] of a probability map."""
    mask = np.asarray(probability > how.threshold)
    if how.never_empty and not mask.any():
        mask = np.asarray(probability > probability.max() / 2)
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
