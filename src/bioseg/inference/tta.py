"""Test-time augmentation: the image flipped and rotated, and the probabilities flipped and rotated back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bioseg.classes import Classes, probabilities
from bioseg.inference.backends import Backend, Batch
from bioseg.recipe import TTA

Planes = NDArray[np.float32]
"""Probabilities [N, K, rows, cols] in [0, 1]."""

ZOOM, GAMMA = 0.88, 0.6
"""The altered copy is scaled by this factor and brightened, x to the power of this."""


@dataclass(frozen=True, eq=False)
class Copies:
    """Predictions of one network for augmented copies of a batch, transformed back.

    Attributes:
        planes: Probabilities [N, K, rows, cols], one array per copy; the first is of the images themselves.
        features: [N, D], of the images themselves.
        altered: As one of ``planes``, for the images made smaller and brighter: how stable the segmentation is. No part of the
            prediction; None unless asked for.
    """

    planes: list[Planes]
    features: NDArray[np.float32]
    altered: Planes | None


def predict_copies(backend: Backend, batch: Batch, tta: TTA, classes: Classes, *, altered: bool = False) -> Copies:
    """Run ``backend`` on every copy that ``tta`` asks for, one forward pass per rotation."""
    planes: list[Planes] = []
    features, extra = np.empty((len(batch), 0), np.float32), None
    for turn in range(4 if tta == "dihedral" else 1):
        turned = np.rot90(batch, turn, (2, 3))
        copies = [turned] if tta == "none" else [turned, turned[..., ::-1]]
        if altered and not turn:
            copies.append(np.clip(_zoomed(batch, ZOOM), 0, 1) ** np.float32(GAMMA))
        logits, found = backend(np.concatenate(copies))
        parts = np.split(probabilities(logits, classes), len(copies))
        if not turn:
            features = found[: len(batch)]
            extra = _zoomed(parts.pop(), 1 / ZOOM) if altered else None
        planes += [np.rot90(part[..., ::-1] if index else part, -turn, (2, 3)) for index, part in enumerate(parts)]
    return Copies(planes, features, extra)


def _zoomed(planes: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Zoomed by ``factor`` about the centre, bilinear on the same grid; beyond the edge, the edge is repeated."""
    for axis in (2, 3):
        side = planes.shape[axis]
        place = np.clip(((2 * np.arange(side) + 1) / side - 1) / factor * side / 2 + (side - 1) / 2, 0, side - 1)
        low = np.minimum(np.floor(place).astype(np.intp), max(0, side - 2))
        share = (place - low).astype(np.float32).reshape((-1, 1) if axis == 2 else (1, -1))
        high = np.minimum(low + 1, side - 1)
        planes = planes.take(low, axis) * (1 - share) + planes.take(high, axis) * share
    return planes
