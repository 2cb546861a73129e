"""Postprocessing: from probabilities to a mask, and to objects or boxes."""

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
        threshold: Pixels above it are foreground.
        min_object: 8-connected components smaller than this share of the image are removed.
        max_hole: 4-connected holes smaller than this share of the image are filled.
        keep_largest: This many components are kept, the largest; 0: all.
        never_empty: For structures that every image has: where no pixel is above the threshold, pixels above half of the
            highest probability are foreground.
        instances: Separate objects by the output ``marker``.
        boxes: Make bounding boxes of the components; the output ``presence`` is the probability of any foreground.
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
    """A model's prediction for one image.

    Attributes:
        mask: [rows, cols], True in the foreground, postprocessed.
        probability: Same grid, [0, 1].
        labels: One number per object; None where the recipe separates no objects.
        boxes: Highest confidence first; None where the recipe makes no boxes.
        quality: Its estimated quality; None where the model estimates none.
    """

    mask: Mask
    probability: Probability
    labels: Labels | None = None
    boxes: tuple[Box, ...] | None = None
    quality: QualityEstimate | None = None


def finish(outputs: dict[str, Probability], how: Postprocess) -> Prediction:
    """Postprocess a network's outputs, [rows, cols] in [0, 1] each, by their names in ``preparation.targets``."""
    probability = outputs["foreground"]
    mask = apply(probability, how)
    if how.instances:
        labels = find_objects(mask, outputs["marker"], how.instances)
        return Prediction(labels > 0, probability, labels)
    if how.boxes:
        presence = float(outputs["presence"].mean()) if "presence" in outputs else 1.0
        return Prediction(mask, probability, boxes=find_boxes(mask, probability, how.boxes, presence=presence))
    return Prediction(mask, probability)


def apply(probability: Probability, how: Postprocess) -> Mask:
    """The postprocessed mask of a probability map [rows, cols]."""
    mask = np.asarray(probability > how.threshold)
    if how.never_empty and not mask.any():
        mask = np.asarray(probability > probability.max() / 2)
    if how.min_object or how.keep_largest:
        mask = _without_small(mask, how.min_object * mask.size, how.keep_largest)
    return _filled(mask, how.max_hole * mask.size) if how.max_hole else mask


def _without_small(mask: Mask, smallest: float, count: int) -> Mask:
    """Components of at least ``smallest`` pixels and, unless ``count`` is 0, only the ``count`` largest of them."""
    labels, _ = ndimage.label(mask, EIGHT)
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    keep = (areas >= smallest) & (areas > 0)
    if count:
        keep[np.argsort(-areas, kind="stable")[count:]] = False
    return np.asarray(keep[labels])


def _filled(mask: Mask, largest: float) -> Mask:
    """With holes of fewer than ``largest`` pixels filled."""
    labels, _ = ndimage.label(~mask)
    areas = np.bincount(labels.ravel())
    edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    small = areas < largest
    small[edge] = False  # what touches the border is background, not a hole
    small[0] = False
    return np.asarray(mask | small[labels])
