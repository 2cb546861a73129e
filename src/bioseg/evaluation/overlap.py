"""Scores from the four counts of a confusion matrix.

Empty masks: a ratio 0/0 is NaN, is counted as undefined and left out of means. So Dice, IoU, precision and recall of an empty
prediction for an empty ground truth are NaN, and those of a false positive for an empty ground truth are 0 (its recall is NaN).
Functions named after a study keep that study's smoothing instead, under which nothing is undefined.
"""

from dataclasses import dataclass

import numpy as np

from bioseg.types import Mask, Probability


@dataclass(frozen=True)
class Confusion:
    """Pixels of one image: true positive, false positive, false negative, true negative."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def swapped(self) -> "Confusion":
        """The same counts with the background as the positive class."""
        return Confusion(self.tn, self.fn, self.fp, self.tp)


def confusion(predicted: Mask, truth: Mask) -> Confusion:
    """Count the pixels of two masks [rows, cols].

    Raises:
        ValueError: They differ in shape.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"prediction {predicted.shape} and truth {truth.shape} differ in shape")
    both = int(np.count_nonzero(predicted & truth))
    fp, fn = int(np.count_nonzero(predicted)) - both, int(np.count_nonzero(truth)) - both
    return Confusion(both, fp, fn, truth.size - both - fp - fn)


def dice(c: Confusion) -> float:
    """2 TP / (2 TP + FP + FN) (Dice 1945)."""
    return _ratio(2 * c.tp, 2 * c.tp + c.fp + c.fn)


def iou(c: Confusion) -> float:
    """TP / (TP + FP + FN) (Jaccard 1912)."""
    return _ratio(c.tp, c.tp + c.fp + c.fn)


def precision(c: Confusion) -> float:
    """TP / (TP + FP); NaN where nothing was predicted."""
    return _ratio(c.tp, c.tp + c.fp)


def recall(c: Confusion) -> float:
    """TP / (TP + FN); NaN where the ground truth is empty."""
    return _ratio(c.tp, c.tp + c.fn)


def accuracy(c: Confusion) -> float:
    """(TP + TN) / all pixels."""
    return _ratio(c.tp + c.tn, c.tp + c.fp + c.fn + c.tn)


def smoothed_dice(c: Confusion, *, smoothing: float = 1.0) -> float:
    """(2 TP + s) / (2 TP + FP + FN + s); with s = 1 the chest X-ray study's Dice."""
    return (2 * c.tp + smoothing) / (2 * c.tp + c.fp + c.fn + smoothing)


def smoothed_iou(c: Confusion, *, smoothing: float = 1.0) -> float:
    """(TP + s) / (TP + FP + FN + s); with s = 1 the pneumonia study's IoU, 1 for an empty prediction of an empty mask."""
    return (c.tp + smoothing) / (c.tp + c.fp + c.fn + smoothing)


def standard_scores(predicted: Mask, truth: Mask) -> dict[str, float]:
    """The overlap scores of every case: of the foreground, the background and their mean, and the confusion matrix in shares."""
    c = confusion(predicted, truth)
    fore, back = (dice(c), iou(c)), (dice(c.swapped), iou(c.swapped))
    return {
        "dice": fore[0],
        "iou": fore[1],
        "precision": precision(c),
        "recall": recall(c),
        "accuracy": accuracy(c),
        "background_dice": back[0],
        "background_iou": back[1],
        "two_class_dice": (fore[0] + back[0]) / 2,
        "two_class_iou": (fore[1] + back[1]) / 2,
        **{f"share_{cell}": count / truth.size for cell, count in vars(c).items()},
    }


def ct_scores(probability: Probability, predicted: Mask, truth: Mask) -> dict[str, float]:
    """The CT study's cross-entropy (clipped at Keras' 1e-7) and accuracy at .5; its IoU is the standard one."""
    certain = np.clip(np.where(truth, probability, 1 - probability), 1e-7, 1)
    return {"ct_loss": float(-np.log(certain).mean()), "ct_accuracy": float(((probability > 0.5) == truth).mean())}


def pneumonia_scores(probability: Probability, predicted: Mask, truth: Mask) -> dict[str, float]:
    """The pneumonia study's IoU with smoothing 1: 1 for an empty prediction of an empty ground truth."""
    return {"pneumonia_iou": smoothed_iou(confusion(predicted, truth))}


def cxr_scores(probability: Probability, predicted: Mask, truth: Mask) -> dict[str, float]:
    """The chest X-ray study's Dice with smoothing 1."""
    return {"cxr_dice": smoothed_dice(confusion(predicted, truth))}


def nuclei_scores(probability: Probability, predicted: Mask, truth: Mask) -> dict[str, float]:
    """The nuclei study's Dice and IoU with smoothing .001, of both classes, and their means."""
    c = confusion(predicted, truth)
    scores: dict[str, float] = {}
    for name, score in (("dice", smoothed_dice), ("iou", smoothed_iou)):
        fore, back = score(c, smoothing=1e-3), score(c.swapped, smoothing=1e-3)
        scores |= {
            f"nuclei_{name}": fore,
            f"nuclei_background_{name}": back,
            f"nuclei_two_class_{name}": (fore + back) / 2,
        }
    return scores


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
