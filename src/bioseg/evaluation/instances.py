"""Scores of instance segmentation: the average precision of the 2018 Data Science Bowl."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from bioseg.types import Labels

THRESHOLDS = np.arange(0.5, 1.0, 0.05)
"""IoU .50, .55, … .95."""


def instance_scores(predicted: Labels, truth: Labels) -> dict[str, float]:
    """Average precision TP / (TP + FP + FN) of one image, and its number of objects.

    A predicted and a true object match where their IoU is above the threshold; the match
    is unique. Source: the 2018 Data Science Bowl's evaluation page.

    Args:
        predicted: [rows, cols], 0 in the background, one number per object.
        truth: Same grid.

    Returns:
        ``ap`` (mean over :data:`THRESHOLDS`), ``ap50``, ``ap75``, ``objects``, ``objects_found`` (IoU above .5); the
        first three are NaN where neither has an object.
    """
    matches, mine, theirs = _matched(predicted, truth)
    hits = (matches[:, None] > THRESHOLDS).sum(axis=0)
    total = mine + theirs - hits
    scores = np.divide(hits, total, out=np.full(len(THRESHOLDS), np.nan), where=total > 0)
    return {
        "ap": float(scores.mean()),
        "ap50": float(scores[0]),
        "ap75": float(scores[5]),
        "objects": float(theirs),
        "objects_found": float(hits[0]),
    }


def _matched(predicted: Labels, truth: Labels) -> tuple[NDArray[np.float64], int, int]:
    """The IoU of each matched pair, and the numbers of predicted and of true objects."""
    mine, a = _numbered(predicted)
    theirs, b = _numbered(truth)
    if not mine or not theirs:
        return np.zeros(0), mine, theirs
    both = np.bincount((a.astype(np.int64) * (theirs + 1) + b).ravel(), minlength=(mine + 1) * (theirs + 1))
    table = both.reshape(mine + 1, theirs + 1)
    overlap = table[1:, 1:]
    iou = overlap / (table[1:].sum(axis=1)[:, None] + table[:, 1:].sum(axis=0) - overlap)
    rows, cols = linear_sum_assignment(-np.where(iou >= 0.5, iou, 0))
    return np.asarray(iou[rows, cols]), mine, theirs


def _numbered(labels: Labels) -> tuple[int, NDArray[Any]]:
    """The number of objects, and the labels renumbered without gaps."""
    names, numbers = np.unique(np.append(0, labels), return_inverse=True)
    return len(names) - 1, numbers[1:].reshape(labels.shape)
