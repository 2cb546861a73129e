"""How far predicted lungs reach beyond the ground truth on the side of the heart and on the side of the ribs.

``python -m benchmarks.lung_edges MODEL DATA`` prints, over all rows of all images at the model's own size, the mean and
the mean absolute distance in px; positive where the prediction reaches further out. Where annotators of two hospitals differ,
the mean is not 0, and no network can agree with both.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bioseg.datasets import folders
from bioseg.datasets.samples import load
from bioseg.pipelines.open import open_predictor
from bioseg.types import Mask


def edges(mask: Mask, middle: int) -> NDArray[np.float64]:
    """Columns [rows, 4]: rib and heart side of the lung left of ``middle``, heart and rib side of the other; NaN: none."""
    found = np.full((len(mask), 4), np.nan)
    for row, line in enumerate(mask):
        for part, start, at in ((line[:middle], 0, 0), (line[middle:], middle, 2)):
            inside = np.flatnonzero(part)
            if len(inside):
                found[row, at : at + 2] = start + inside[0], start + inside[-1]
    return found


def main() -> None:
    """Print both sides' distances."""
    predictor = open_predictor(sys.argv[1])
    how = predictor.recipe.preparation
    samples = load([case for case in folders.list_cases(Path(sys.argv[2])) if case.has_truth], how)
    heart, ribs = [], []
    for batch in samples.batches(range(len(samples.cases)), 1):
        truth = batch.masks[0, 0].numpy() > 0.5
        mask = predictor.predict_prepared(batch.images[0].numpy()).mask
        middle = int(np.flatnonzero(truth.any(axis=0)).mean())
        beyond = (edges(mask, middle) - edges(truth, middle)) * (-1, 1, -1, 1)
        ribs.append(beyond[:, [0, 3]].ravel())
        heart.append(beyond[:, [1, 2]].ravel())
    for name, parts in (("heart", heart), ("ribs", ribs)):
        distances = np.concatenate(parts)
        print(f"{name}: mean {np.nanmean(distances):+.2f} px, mean absolute {np.nanmean(abs(distances)):.2f} px")


if __name__ == "__main__":
    main()
