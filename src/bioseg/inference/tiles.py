"""Large images in overlapping tiles, so that the network's memory does not grow with the image."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Planes = NDArray[np.float32]

LARGEST_PX, OVERLAP_PX = 1536, 128
"""Images up to this side are predicted whole, larger ones in tiles of at most this side; pixels that neighbouring tiles share."""

STRIDE_PX = 32
"""Sides of tiles are multiples of it where they can be: encoders halve the size five times, the rest would be padding."""


def in_tiles(
    predict: Callable[[Planes], Planes], batch: Planes, *, largest: int = LARGEST_PX, overlap: int = OVERLAP_PX
) -> Planes:
    """Predict images whole if they are small, else tile by tile; where tiles overlap, one fades into the other.

    A large image is cut into as few tiles as possible, no larger than they need be, so that the time is proportional to the
    number of pixels. In memory are one tile's prediction and the result.

    Args:
        predict: [N, channels, rows, cols] → [N, K, rows, cols].
        batch: [N, channels, rows, cols].
        largest: Side of the largest tile, px.
        overlap: Px that neighbouring tiles share at least; less than half of ``largest``.

    Returns:
        [N, K, rows, cols].
    """
    rows, cols = batch.shape[2:]
    if max(rows, cols) <= largest:
        return predict(batch)
    result: Planes | None = None
    for down, row_weights in _cuts(rows, largest, overlap):
        for across, col_weights in _cuts(cols, largest, overlap):
            part = predict(batch[..., down, across])
            if result is None:
                result = np.zeros((*part.shape[:2], rows, cols), np.float32)
            result[..., down, across] += part * (row_weights[:, None] * col_weights)
    assert result is not None
    return result


def _cuts(side: int, largest: int, overlap: int) -> list[tuple[slice, Planes]]:
    """Tiles along one axis, and the weight of each of their pixels; the weights of all tiles sum to 1 everywhere."""
    count = max(1, -(-(side - overlap) // (largest - overlap)))
    size = -(-(side + (count - 1) * overlap) // count)
    size = min(-(-size // STRIDE_PX) * STRIDE_PX, largest, side)
    starts = [round(index * (side - size) / max(1, count - 1)) for index in range(count)]
    place = np.arange(1, size + 1, dtype=np.float32)
    ramp = np.minimum(np.minimum(place, size + 1 - place), np.float32(overlap))  # falls towards both ends
    total: Planes = np.zeros(side, np.float32)
    for start in starts:
        total[start : start + size] += ramp
    return [
        (slice(start, start + size), np.divide(ramp, total[start : start + size], dtype=np.float32)) for start in starts
    ]
