"""Choose postprocessing settings on validation cases, by grid search."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from bioseg.classes import EVERYTHING, Classes
from bioseg.evaluation import detection, overlap
from bioseg.evaluation.instances import instance_scores
from bioseg.postprocess.masks import Postprocess, finish
from bioseg.specs import Fraction, Whole
from bioseg.types import Box, Labels, Mask, Probability


@dataclass(frozen=True, eq=False)
class Example:
    """A validation case on the grid it is evaluated on.

    Attributes:
        planes: The network's outputs by name, [rows, cols] each, in half precision.
        labels: Ground-truth objects, [rows, cols].
        masks: Ground truth of each class, [K, rows, cols].
        classes: Which.
        boxes: Ground-truth boxes.
    """

    planes: dict[str, NDArray[np.float16]]
    labels: Labels
    boxes: tuple[Box, ...]
    masks: Mask
    classes: Classes = EVERYTHING

    @property
    def outputs(self) -> dict[str, Probability]:
        """The outputs in single precision."""
        return {name: plane.astype(np.float32) for name, plane in self.planes.items()}

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.labels.nbytes + self.masks.nbytes + sum(plane.nbytes for plane in self.planes.values())


Score = Callable[[Example, Postprocess], float]


def threshold(
    examples: Sequence[Example],
    how: Postprocess,
    *,
    candidates: Sequence[Fraction] = tuple(np.arange(0.2, 0.81, 0.05).round(2)),
) -> Postprocess:
    """The threshold, common to all classes, with the best mean IoU. The optimum is flat, so steps of .05 are enough."""
    return _best(examples, [replace(how, threshold=float(value)) for value in candidates], _iou)


def objects(
    examples: Sequence[Example], how: Postprocess, *, thresholds: Sequence[Fraction] = (0.4, 0.5, 0.6, 0.7),
    marker_thresholds: Sequence[Fraction] = (0.3, 0.4, 0.5, 0.6, 0.7), areas_px: Sequence[Whole] = (12, 30),
) -> Postprocess:  # fmt: skip
    """First the threshold with the best mean IoU, then marker threshold and minimal area with the best mean AP."""
    how = _best(examples, [replace(how, threshold=value) for value in thresholds], _iou)
    assert how.instances is not None
    candidates = [
        replace(how, instances=replace(how.instances, marker_threshold=marker, min_area_px=area))
        for marker, area in product(marker_thresholds, areas_px)
    ]
    return _best(examples, candidates, _average_precision)


def boxes(
    examples: Sequence[Example], how: Postprocess, *, thresholds: Sequence[Fraction] = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7),
    shrinks: Sequence[Fraction] = (0.0, 0.05, 0.1, 0.15), min_presences: Sequence[Fraction] = (0.0, 0.2, 0.35, 0.5, 0.65),
    areas: Sequence[Fraction] = (0.0, 0.005, 0.01),
) -> Postprocess:  # fmt: skip
    """Threshold and minimal area, then minimal presence, then shrinkage, each by the best mean of the challenge's score."""
    base = how.boxes
    assert base is not None
    candidates = [
        replace(how, threshold=value, boxes=replace(base, min_area=area)) for value, area in product(thresholds, areas)
    ]
    how = _best(examples, candidates, _boxes_score)
    for name, values in (("min_presence", min_presences), ("shrink", shrinks)):
        assert how.boxes is not None
        how = _best(
            examples, [replace(how, boxes=replace(how.boxes, **{name: value})) for value in values], _boxes_score
        )
    return how


def _best(examples: Sequence[Example], candidates: Iterable[Postprocess], score: Score) -> Postprocess:
    """The candidate with the highest mean score, undefined scores left out; of equal ones the first."""

    def mean(how: Postprocess) -> float:
        scores = np.array([score(example, how) for example in examples])
        return float(np.nanmean(scores)) if np.isfinite(scores).any() else 0.0

    return max(candidates, key=mean)


def _iou(example: Example, how: Postprocess) -> float:
    """The mean over the classes that are there or were found."""
    found = finish(example.outputs, replace(how, instances=None, boxes=None), example.classes).classes.values()
    each = [overlap.iou(overlap.confusion(one.mask, truth)) for one, truth in zip(found, example.masks, strict=True)]
    return float(np.nanmean(each)) if np.isfinite(each).any() else float("nan")


def _average_precision(example: Example, how: Postprocess) -> float:
    labels = finish(example.outputs, how, example.classes).labels
    assert labels is not None
    return instance_scores(labels, example.labels)["ap"]


def _boxes_score(example: Example, how: Postprocess) -> float:
    return detection.image_score(finish(example.outputs, how).boxes or (), example.boxes)
