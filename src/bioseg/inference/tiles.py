"""Large images in overlapping tiles, so that the network's memory does not grow with the image."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Planes = NDArray[np.float32]

TILE_PX, OVERLAP_PX = 1024, 128
"""Side of a tile, and what two neighbours share; above one and a half tiles an image is cut."""


def in_tiles(
    predict: Callable[[Planes], Planes], batch: Planes, *, tile: int = TILE_PX, overlap: int = OVERLAP_PX
) -> Planes:
    """Predict images whole if they are small, else tile by tile; where tiles overlap, one fades into the other.

    Args:
        predict: [N, channels, rows, cols] → [N, K, rows, cols].
        batch: [N, channels, rows, cols].
        tile: Side of a tile, px.
        overlap: Px that neighbouring tiles share; less than half a tile.

    Returns:
        [N, K, rows, cols].
    """
    rows, cols = batch.shape[2:]
    if max(rows, cols) <= tile * 3 // 2:
        return predict(batch)
    total: Planes | None = None
    weight: Planes = np.zeros((rows, cols), np.float32)
    for top in _starts(rows, tile, overlap):
        for left in _starts(cols, tile, overlap):
            part = predict(batch[..., top : top + tile, left : left + tile])
            fade = _ramp(part.shape[-2], overlap)[:, None] * _ramp(part.shape[-1], overlap)
            if total is None:
                total = np.zeros((*part.shape[:2], rows, cols), np.float32)
            total[..., top : top + tile, left : left + tile] += part * fade
            weight[top : top + tile, left : left + tile] += fade
    assert total is not None
    return np.asarray(np.divide(total, weight, out=total), np.float32)


def _starts(side: int, tile: int, overlap: int) -> list[int]:
    """Evenly spread starts of tiles that cover ``side`` with at least ``overlap`` in common."""
    if side <= tile:
        return [0]
    count = -(-(side - overlap) // (tile - overlap))
    return [round(index * (side - tile) / (count - 1)) for index in range(count)]


def _ramp(side: int, overlap: int) -> Planes:
    """1 in the middle, falling towards both ends over ``overlap``."""
    place = np.arange(1, side + 1, dtype=np.float32)
    return np.minimum(np.minimum(place, side + 1 - place), overlap) / np.float32(overlap)
