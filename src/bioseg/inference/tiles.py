"""Large pictures in overlapping tiles, so that memory does not grow with the picture."""

from collections.abc import Callable

import torch
from torch import Tensor

TILE_PX, OVERLAP_PX = 1024, 128
"""Side of a tile, and what two neighbours share; above one and a half tiles a picture is cut."""


def in_tiles(
    predict: Callable[[Tensor], Tensor], picture: Tensor, *, tile: int = TILE_PX, overlap: int = OVERLAP_PX
) -> Tensor:
    """Predict a picture whole if it is small, else tile by tile; where tiles overlap, one fades into the other.

    Args:
        predict: [1, channels, rows, cols] → [1, K, rows, cols].
        picture: [1, channels, rows, cols].
        tile: Side of a tile, px.
        overlap: Px that neighbouring tiles share; less than half a tile.

    Returns:
        [1, K, rows, cols] on the picture's device.
    """
    rows, cols = picture.shape[2:]
    if max(rows, cols) <= tile * 3 // 2:
        return predict(picture)
    total, weight = picture.new_zeros(()), picture.new_zeros(())
    for top in _starts(rows, tile, overlap):
        for left in _starts(cols, tile, overlap):
            part = predict(picture[..., top : top + tile, left : left + tile])
            fade = _ramp(part.shape[-2], overlap, part)[:, None] * _ramp(part.shape[-1], overlap, part)
            if total.ndim == 0:
                total = part.new_zeros((1, part.shape[1], rows, cols))
                weight = part.new_zeros((rows, cols))
            total[..., top : top + tile, left : left + tile] += part * fade
            weight[top : top + tile, left : left + tile] += fade
    return total / weight


def _starts(side: int, tile: int, overlap: int) -> list[int]:
    """Evenly spread starts of tiles that cover ``side`` with at least ``overlap`` in common."""
    if side <= tile:
        return [0]
    count = -(-(side - overlap) // (tile - overlap))
    return [round(index * (side - tile) / (count - 1)) for index in range(count)]


def _ramp(side: int, overlap: int, like: Tensor) -> Tensor:
    """1 in the middle, falling towards both ends over ``overlap``."""
    place = torch.arange(side, device=like.device, dtype=like.dtype) + 1
    return torch.minimum(place, side + 1 - place).clamp(max=overlap) / overlap
