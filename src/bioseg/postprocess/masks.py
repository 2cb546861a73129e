"""Postprocessing: from probabilities to a mask, and to objects or boxes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bioseg.classes import EVERYTHING, Classes, assigned, class_of_objects, united
from bioseg.postprocess.boxes import Boxes, find_boxes
from bioseg.postprocess.instances import Instances, find_objects
from bioseg.specs import Fraction, Range, check
from bioseg.types import Box, Labels, Mask, Probability, QualityEstimate

EIGHT = np.ones((3, 3), bool)


@dataclass(frozen=True)
class ClassPostprocess:
    """What is done otherwise for one of several classes; None: as for all.

    Attributes:
        name: The class.
        threshold: See :class:`Postprocess`.
        min_object: See :class:`Postprocess`.
        max_hole: See :class:`Postprocess`.
        keep_largest: See :class:`Postprocess`.
        never_empty: See :class:`Postprocess`.
    """

    name: str
    threshold: Fraction | None = None
    min_object: Fraction | None = None
    max_hole: Fraction | None = None
    keep_largest: Annotated[int, Range(0)] | None = None
    never_empty: bool | None = None

    def __post_init__(self) -> None:
        """Refuse invalid values."""
        check(self, "postprocess.per_class")


@dataclass(frozen=True)
class Postprocess:
    """What is done after the network, in this order.

    With several classes, each is treated so by itself; a pixel that one loses becomes background, and a hole that another
    class fills is none.

    Attributes:
        threshold: Pixels above it are foreground; of exclusive classes see :func:`bioseg.classes.assigned`.
        min_object: 8-connected components smaller than this share of the image are removed.
        max_hole: 4-connected holes smaller than this share of the image are filled.
        keep_largest: This many components are kept, the largest; 0: all.
        never_empty: For structures that every image has: where no pixel is above the threshold, pixels above half of the
            highest probability are foreground.
        instances: Separate objects by the output ``marker``.
        boxes: Make bounding boxes of the components; the output ``presence`` is the probability of any foreground.
        per_class: What differs for single classes.
    """

    threshold: Fraction = 0.5
    min_object: Fraction = 0.0
    max_hole: Fraction = 0.0
    keep_largest: Annotated[int, Range(0)] = 0
    never_empty: bool = False
    instances: Instances | None = None
    boxes: Boxes | None = None
    per_class: tuple[ClassPostprocess, ...] = ()

    def __post_init__(self) -> None:
        """Refuse invalid values."""
        check(self, "postprocess")

    def of(self, name: str) -> "Postprocess":
        """What is done for the class ``name``."""
        own = next((one for one in self.per_class if one.name == name), ClassPostprocess(name))
        given = {key: value for key, value in vars(own).items() if key != "name" and value is not None}
        return replace(self, **given, per_class=())


@dataclass(frozen=True, eq=False)
class ClassPrediction:
    """What a model says of one class.

    Attributes:
        mask: [rows, cols], postprocessed.
        probability: Same grid, [0, 1].
    """

    mask: Mask
    probability: Probability


@dataclass(frozen=True, eq=False)
class Prediction:
    """A model's prediction for one image.

    Attributes:
        mask: [rows, cols], True in the foreground (in any class), postprocessed.
        probability: Same grid, [0, 1]; of several exclusive classes the sum, of others the largest.
        labels: One number per object; None where the recipe separates no objects.
        boxes: Highest confidence first; None where the recipe makes no boxes.
        quality: Its estimated quality; None where the model estimates none.
        classes: Each class by its name, in the recipe's order.
        flags: Why a person should review it beside its quality: the image or the mask is unlike those the model is meant for.
    """

    mask: Mask
    probability: Probability
    labels: Labels | None = None
    boxes: tuple[Box, ...] | None = None
    quality: QualityEstimate | None = None
    classes: Mapping[str, ClassPrediction] = field(default_factory=dict)
    flags: tuple[str, ...] = ()

    @property
    def class_map(self) -> NDArray[np.uint8]:
        """[rows, cols]: 0 in the background, 1 in the first class, 2 in the second; where classes overlap, the last of them."""
        values = np.zeros(self.mask.shape, np.uint8)
        for value, one in enumerate(self.classes.values(), 1):
            values[one.mask] = value
        return values

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why a person should review it, each once; empty where nothing is wrong."""
        return tuple(dict.fromkeys((*self.flags, *(self.quality.reasons if self.quality else ()))))


def finish(outputs: dict[str, Probability], how: Postprocess, classes: Classes = EVERYTHING) -> Prediction:
    """Postprocess a network's outputs, [rows, cols] in [0, 1] each, by their names in ``preparation.planes``."""
    if classes.several:
        return _finish_several(outputs, how, classes)
    (name,) = classes.names
    probability = outputs["foreground"]
    mask = apply(probability, how.of(name))
    if how.instances:
        labels = find_objects(mask, outputs["marker"], how.instances)
        mask = labels > 0
        return Prediction(mask, probability, labels, classes={name: ClassPrediction(mask, probability)})
    boxes = None
    if how.boxes:
        presence = float(outputs["presence"].mean()) if "presence" in outputs else 1.0
        boxes = find_boxes(mask, probability, how.boxes, presence=presence)
    return Prediction(mask, probability, boxes=boxes, classes={name: ClassPrediction(mask, probability)})


def _finish_several(outputs: dict[str, Probability], how: Postprocess, classes: Classes) -> Prediction:
    planes = np.stack([outputs[name] for name in classes.names])
    each = [how.of(name) for name in classes.names]
    found = assigned(planes, classes, np.array([one.threshold for one in each], np.float32))
    masks = np.stack([_cleaned(*parts) for parts in zip(found, planes, each, strict=True)])
    if classes.exclusive:
        masks = _without_overlap(masks, found)
    labels = None
    if how.instances:
        labels = find_objects(np.asarray(masks.any(axis=0)), outputs["marker"], how.instances)
        numbers = np.append(-1, class_of_objects(labels, masks))[labels]
        masks = np.stack([numbers == index for index in range(len(masks))])
    by_name = zip(classes.names, masks, planes, strict=True)
    shown = {name: ClassPrediction(mask, plane) for name, mask, plane in by_name}
    return Prediction(np.asarray(masks.any(axis=0)), united(planes, classes), labels, classes=shown)


def _without_overlap(masks: Mask, before: Mask) -> Mask:
    """What was filled or added to a class stays only where no class was kept, nor an earlier one added."""
    taken = (masks & before).any(axis=0)
    result = masks & before
    for own, added in zip(result, masks & ~before, strict=True):
        own |= added & ~taken
        taken = taken | added
    return result


def apply(probability: Probability, how: Postprocess) -> Mask:
    """The postprocessed mask of a probability map [rows, cols]."""
    return _cleaned(np.asarray(probability > how.threshold), probability, how)


def _cleaned(mask: Mask, probability: Probability, how: Postprocess) -> Mask:
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
