"""Scores of several classes: each by itself, their mean, and which class was taken for which."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bioseg.evaluation.instances import instance_scores
from bioseg.evaluation.overlap import standard_scores
from bioseg.evaluation.summary import score_case
from bioseg.types import Labels, Mask

OF_A_CLASS = ("dice", "iou", "precision", "recall", "hd95_mm", "hd95_px", "surface_dice")
"""Scores that are given for each of several classes, under names such as ``dice:left lung``."""


def class_scores(
    predicted: Mapping[str, Mask], truth: Mask, *, spacing_mm: tuple[float, float] | None = None
) -> dict[str, float]:
    """All standard scores.

    Args:
        predicted: Mask [rows, cols] of each class.
        truth: [K, rows, cols], in the same order.
        spacing_mm: Of the pixels.

    Returns:
        Of one class, :func:`bioseg.evaluation.summary.score_case`. Of several, the same names hold the mean over the classes in
        which a score is defined (NaN in none), and :data:`OF_A_CLASS` those of each; ``share_…`` are of any class against the
        background.
    """
    each = {
        name: score_case(mask, own, spacing_mm=spacing_mm)
        for (name, mask), own in zip(predicted.items(), truth, strict=True)
    }
    first, *others = each.values()
    if not others:
        return first
    anything = standard_scores(np.any(list(predicted.values()), axis=0), np.asarray(truth.any(axis=0)))
    shares = {name: value for name, value in anything.items() if name.startswith("share_")}
    means = {name: _mean([one[name] for one in each.values()]) for name in first if name not in shares}
    own = {f"{score}:{name}": scores[score] for name, scores in each.items() for score in OF_A_CLASS if score in scores}
    return means | shares | own


def class_instance_scores(
    predicted: Labels,
    truth: Labels,
    predicted_class: NDArray[np.intp],
    true_class: NDArray[np.intp],
    names: tuple[str, ...],
) -> dict[str, float]:
    """``ap:NAME`` of each class: :func:`bioseg.evaluation.instances.instance_scores` of its objects alone.

    Args:
        predicted: [rows, cols], objects numbered from 1.
        truth: Same grid.
        predicted_class: Index of the class of each predicted object, see :func:`bioseg.classes.class_of_objects`.
        true_class: Of each true one.
        names: Of the classes.
    """
    scores = {}
    for index, name in enumerate(names):
        mine, theirs = (
            np.where(np.append(-1, own)[labels] == index, labels, 0)
            for labels, own in ((predicted, predicted_class), (truth, true_class))
        )
        scores[f"ap:{name}"] = instance_scores(mine, theirs)["ap"]
    return scores


def confusion_counts(predicted: Mapping[str, Mask], truth: Mask) -> NDArray[np.int64]:
    """Pixels by true and predicted class, of exclusive classes.

    Args:
        predicted: Mask [rows, cols] of each class.
        truth: [K, rows, cols], in the same order.

    Returns:
        [K + 1, K + 1], true by predicted; the first row and column are the background.
    """
    count = len(truth) + 1
    mine = np.zeros(truth.shape[1:], np.int64)
    theirs = mine.copy()
    for index, (mask, own) in enumerate(zip(predicted.values(), truth, strict=True), 1):
        mine[mask], theirs[own] = index, index
    return np.bincount((theirs * count + mine).ravel(), minlength=count**2).reshape(count, count)


def _mean(values: list[float]) -> float:
    known = [value for value in values if value == value]
    return float(np.mean(known)) if known else float("nan")
