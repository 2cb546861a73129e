"""The score of the RSNA Pneumonia Detection Challenge (2018)."""

from collections.abc import Sequence

import numpy as np

from bioseg.types import Box

THRESHOLDS = np.arange(0.4, 0.76, 0.05)
"""IoU .40, .45, … .75."""


def image_score(predicted: Sequence[Box], truth: Sequence[Box]) -> float:
    """Mean over :data:`THRESHOLDS` of TP / (TP + FP + FN).

    At each threshold the predicted boxes, highest confidence first, are matched to the free true box of the largest IoU if
    that is above the threshold. 0 where boxes are predicted and there are none; NaN where there are neither.
    """
    if not truth:
        return 0.0 if predicted else float("nan")
    overlap = np.array(
        [[box_iou(box, other) for other in truth] for box in sorted(predicted, key=lambda box: -box.confidence)]
    ).reshape(len(predicted), len(truth))
    scores = []
    for threshold in THRESHOLDS:
        free, hits = overlap.copy(), 0
        for row in range(len(free)):
            best = int(free[row].argmax())
            if free[row, best] > threshold:
                free[:, best] = -1
                hits += 1
        scores.append(hits / (len(predicted) + len(truth) - hits))
    return float(np.mean(scores))


def box_iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes; 0 where both are empty."""
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    intersection = max(0.0, width) * max(0.0, height)
    union = a.width * a.height + b.width * b.height - intersection
    return intersection / union if union else 0.0
