"""Polygons and ellipses drawn on the grid of an image.

A pixel belongs to a shape if its centre does; on an edge it belongs to the shape on its right or below, so that shapes with a
common edge neither overlap nor leave a gap. Rings are filled by the even-odd rule: where a polygon crosses itself, what it goes
around twice is outside. What lies beyond the image is clipped. Time goes with vertices × rows, not with vertices × pixels as in
scikit-image, to which the results are equal wherever no pixel's centre lies on an edge.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bioseg.datasets.annotations.annotation import Annotation, Points, Unusable, class_name, nothing, of_mask, united
from bioseg.types import Mask

FURTHEST = 1e7
"""No image has so many rows or columns; a coordinate beyond is damaged."""
MOST_CROSSINGS = 200_000_000
"""Rows that the edges of one polygon may cross, counted for each edge."""
_AT_ONCE = 2_000_000


def points(values: Any, what: str = "polygon", *, least: int = 3) -> Points:
    """Vertices as an array.

    Args:
        values: A list of (x, y) in px; a third coordinate is left out.
        what: Says what they are, for the message.
        least: Number of vertices.

    Raises:
        Unusable: They are no numbers, not finite, or too few.
    """
    try:
        found = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        found = np.empty(0)
    if found.ndim == 2 and found.shape[1] == 3:
        found = found[:, :2]
    if (found.size and (found.ndim != 2 or found.shape[1] != 2)) or (not found.size and values):
        raise Unusable(f"{what} whose vertices are no pairs of numbers; draw it again")
    if not np.isfinite(found).all():
        raise Unusable(f"{what} with a vertex that is no finite number; draw it again")
    if len(found) < least:
        raise Unusable(f"{what} of {len(found)} vertices, which needs {least} or more; draw it again, or remove it")
    if np.abs(found).max() > FURTHEST:
        raise Unusable(f"{what} with a vertex at {np.abs(found).max():.3g}, in no image; draw it again")
    return found


def polygons(name: object, parts: Sequence[Sequence[Points]], shape: tuple[int, int]) -> Annotation:
    """The union of polygons.

    Args:
        name: The class.
        parts: Each the rings of one polygon, filled by the even-odd rule: its edge, and its holes.
        shape: (rows, cols) of the image.

    Raises:
        Unusable: A polygon crosses more rows than can be drawn in reasonable time.
    """
    drawn = [_even_odd(name, rings, shape) for rings in parts]
    return drawn[0] if len(drawn) == 1 else of_mask(name, united(drawn, shape))


def rectangle(name: object, corners: Points, shape: tuple[int, int]) -> Annotation:
    """An upright rectangle between two opposite corners."""
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    return polygons(name, [[np.array([[left, top], [right, top], [right, bottom], [left, bottom]])]], shape)


def ellipse(
    name: object, centre_xy: tuple[float, float], radii_xy: tuple[float, float], shape: tuple[int, int]
) -> Annotation:
    """An ellipse with upright axes, its edge included."""
    (x, y), (across, down) = centre_xy, radii_xy
    rows, cols = _span(y - down, y + down, shape[0]), _span(x - across, x + across, shape[1])
    if not (across > 0 and down > 0 and rows[0] < rows[1] and cols[0] < cols[1]):
        return nothing(name, shape)
    down_by = (np.arange(*rows)[:, None] + 0.5 - y) / down
    right_by = (np.arange(*cols) + 0.5 - x) / across
    return of_mask(name, right_by**2 + down_by**2 <= 1, (rows[0], cols[0]), shape)


def _span(low: float, high: float, size: int) -> tuple[int, int]:
    """The pixels whose centres lie from ``low`` to ``high``: the first, and the one after the last."""
    first, after = np.clip(np.ceil([low - 0.5, np.nextafter(high, np.inf) - 0.5]), 0, size).astype(int).tolist()
    return first, after


def _even_odd(name: object, rings: Sequence[Points], shape: tuple[int, int]) -> Annotation:
    every = np.concatenate(rings)
    (left, top), (right, bottom) = every.min(axis=0).tolist(), every.max(axis=0).tolist()
    rows, cols = _span(top, bottom, shape[0]), _span(left, right, shape[1])
    if rows[0] >= rows[1] or cols[0] >= cols[1]:
        return nothing(name, shape)
    start = every - (cols[0], rows[0])
    end = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings]) - (cols[0], rows[0])
    crop = _fill(start, end, (rows[1] - rows[0], cols[1] - cols[0]))
    return Annotation(class_name(name), crop, (rows[0], cols[0]), shape)


def _fill(start: Points, end: Points, grid: tuple[int, int]) -> Mask:
    """Pixels with an odd number of edges (from ``start`` to ``end``) to the left of their centres."""
    rows, cols = grid
    toggles = np.zeros(rows * (cols + 1), np.uint8)
    for row, edge in _crossings(start, end, rows):
        (x, y), (dx, dy) = start[edge].T, (end - start)[edge].T
        at = x + (row + 0.5 - y) * (dx / dy)
        col = np.clip(np.ceil(at - 0.5), 0, cols).astype(np.int64)
        np.bitwise_xor.at(toggles, row * (cols + 1) + col, np.uint8(1))
    filled: Mask = np.bitwise_xor.accumulate(toggles.reshape(rows, cols + 1), axis=1)[:, :cols].astype(np.bool_)
    return filled


def _crossings(start: Points, end: Points, rows: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(rows, edges): every row whose line of centres an edge crosses, with that edge; some of them at a time."""
    heights = np.sort(np.stack([start[:, 1], end[:, 1]]), axis=0)
    first, after = np.clip(np.ceil(heights - 0.5), 0, rows).astype(np.int64)
    count = after - first
    total = int(count.sum())
    if total > MOST_CROSSINGS:
        raise Unusable(f"polygon of {len(start)} vertices across {rows} rows, too many to draw; simplify it")
    before = np.cumsum(count)
    at = 0
    while at < len(count):
        stop = max(at + 1, int(np.searchsorted(before, before[at] - count[at] + _AT_ONCE, "right")))
        own = count[at:stop]
        edge = np.repeat(np.arange(at, stop), own)
        yield np.arange(len(edge)) - np.repeat(np.cumsum(own) - own, own) + first[edge], edge
        at = stop
