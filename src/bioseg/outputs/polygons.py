"""Exact polygons of label images: along the edges of pixels, so that drawing them again gives the same pixels.

Coordinates are (x, y) in px from the top left corner of the image, as in ImageJ and QuPath: the pixel in column c and row r
covers c … c + 1 and r … r + 1, its centre is at (c + .5, r + .5). All vertices are whole numbers, so no pixel centre ever lies
on an edge, and every program fills the same pixels.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

from bioseg.types import Labels

Ring = NDArray[np.int64]
"""[vertices, 2], (x, y); the first vertex is not repeated at the end; no vertex occurs twice."""

Polygon = list[Ring]
"""The outer ring, clockwise on the screen, then the holes, counterclockwise."""


def trace(labels: Labels) -> dict[int, list[Polygon]]:
    """The polygons of every object: one per 4-connected part of it, holes cut out.

    Where two pixels of an object touch by a corner only, their polygons touch in that point: so each is simple, as GeoJSON and
    other formats require.

    Args:
        labels: [rows, cols], 0 is background.

    Returns:
        Polygons by the object's number, in the order of the objects' first pixels.
    """
    parts = np.asarray(label(labels, connectivity=1, background=0))
    outer: dict[int, Ring] = {}
    holes: dict[int, list[Ring]] = {}
    for part, ring in _rings(np.pad(parts, 1)):
        if _doubled_area(ring) > 0:
            outer[part] = ring
        else:
            holes.setdefault(part, []).append(ring)
    numbers, first = np.unique(parts, return_index=True)
    number_of = dict(zip(numbers.tolist(), labels.ravel()[first].tolist(), strict=True))
    found: dict[int, list[Polygon]] = {}
    for part, ring in outer.items():
        found.setdefault(number_of[part], []).append([ring, *holes.get(part, ())])
    return found


def _rings(parts: NDArray[np.int64]) -> Iterator[tuple[int, Ring]]:
    """Every boundary of every part, with the part; ``parts`` has a border of zeros.

    A boundary consists of the sides of pixels, walked with the part on the right hand. A side is known by its pixel and by the
    direction in which it faces: 0 up (walked to the right), 1 right, 2 down, 3 left.
    """
    cols, flat = parts.shape[1], parts.ravel()
    towards = np.array([-cols, 1, cols, -1])
    inside = np.flatnonzero(flat)
    faces = [inside[flat[inside] != flat[inside + step]] for step in towards]
    keys = np.concatenate([face + side * flat.size for side, face in enumerate(faces)])  # ascending
    after = np.concatenate([_next_side(flat, face, side, towards) for side, face in enumerate(faces)])
    following = np.searchsorted(keys, after).tolist()
    sides, pixels = np.divmod(keys, flat.size)
    corner = (sides != after // flat.size).tolist()
    rows_of, cols_of = np.divmod(pixels, cols)
    ends_x = (cols_of - 1 + np.isin(sides, (0, 1))).tolist()
    ends_y = (rows_of - 1 + np.isin(sides, (1, 2))).tolist()
    part_of, done = flat[pixels].tolist(), bytearray(len(keys))
    for start in range(len(faces[0])):  # every boundary has a side that faces up
        if done[start]:
            continue
        side, vertices = start, list[tuple[int, int]]()
        while not done[side]:
            done[side] = 1
            if corner[side]:
                vertices.append((ends_x[side], ends_y[side]))
            side = following[side]
        for ring in _simple(vertices):
            yield part_of[start], np.array(ring)


def _next_side(flat: NDArray[np.int64], pixels: NDArray[np.int64], side: int, towards: NDArray[np.int64]) -> Ring:
    """The key of the side that follows each pixel's ``side``: a right turn first, so that corners do not connect."""
    ahead = pixels + towards[(side + 1) % 4]
    beside = ahead + towards[side]
    own = flat[pixels]
    right, straight = flat[ahead] != own, flat[beside] != own
    pixel = np.where(right, pixels, np.where(straight, ahead, beside))
    turned = np.where(right, (side + 1) % 4, np.where(straight, side, (side + 3) % 4))
    return np.asarray(pixel + turned * flat.size)


def _simple(vertices: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """A closed walk divided into rings in which no vertex occurs twice."""
    if len(set(vertices)) == len(vertices):
        yield vertices
        return
    walk, place = list[tuple[int, int]](), dict[tuple[int, int], int]()
    for vertex in vertices:
        if vertex in place:
            yield walk[place[vertex] :]
            for passed in walk[place[vertex] :]:
                del place[passed]
            del walk[len(place) :]
        place[vertex] = len(walk)
        walk.append(vertex)
    yield walk


def _doubled_area(ring: Ring) -> int:
    """Twice the area, positive where the ring is clockwise on the screen."""
    x, y = ring.T
    return int((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())
