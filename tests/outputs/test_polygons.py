"""Polygons along pixel edges: simple rings that give back the very same pixels."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from skimage.draw import polygon2mask

from bioseg.outputs.polygons import Polygon, trace
from bioseg.types import Labels

from .segmented_images import hard_labels


def drawn(found: dict[int, list[Polygon]], shape: tuple[int, ...]) -> Labels:
    """By scikit-image, whose pixel (r, c) has its centre at (r, c), rings by the even-odd rule."""
    labels = np.zeros(shape, np.int32)
    for number, polygons in found.items():
        mask = np.zeros(shape, np.bool_)
        for ring in (ring for polygon in polygons for ring in polygon):
            mask ^= polygon2mask(shape, ring[:, ::-1] - 0.5)
        assert not labels[mask].any()
        labels[mask] = number
    return labels


def test_a_pixel_is_the_square_from_its_corner() -> None:
    labels = np.zeros((3, 4), np.int32)
    labels[1, 2] = 7
    ((ring,),) = trace(labels)[7]
    assert {tuple(vertex) for vertex in ring.tolist()} == {(2, 1), (3, 1), (3, 2), (2, 2)}


def test_what_is_hard_comes_back_pixel_for_pixel() -> None:
    labels = hard_labels()
    found = trace(labels)
    assert (drawn(found, labels.shape) == labels).all()
    assert {number: [len(polygon) - 1 for polygon in polygons] for number, polygons in found.items()} == {
        1: [3], 2: [0, 0], 3: [0], 4: [0], 5: [0], 6: [0], 7: [0], 8: [0], 9: [1],
    }  # fmt: skip


@given(arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 2)))
def test_any_labels_come_back_and_every_ring_is_simple(labels: NDArray[np.int32]) -> None:
    found = trace(labels)
    assert (drawn(found, labels.shape) == labels).all()
    for polygons in found.values():
        for polygon in polygons:
            for ring in polygon:
                assert len({tuple(vertex) for vertex in ring.tolist()}) == len(ring) >= 4
                assert (np.abs(np.roll(ring, -1, 0) - ring) > 0).sum(axis=1).max() == 1  # along the grid
            areas = [shoelace(ring) for ring in polygon]
            assert areas[0] > 0 and all(area < 0 for area in areas[1:])


def shoelace(ring: NDArray[np.int64]) -> int:
    x, y = ring.T
    return int(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


@pytest.mark.parametrize("fill", [0, 1])
def test_nothing_and_everything(fill: int) -> None:
    labels = np.full((5, 6), fill, np.int32)
    assert [len(polygons) for polygons in trace(labels).values()] == [1] * fill
    assert (drawn(trace(labels), labels.shape) == labels).all()


def test_ten_thousand_objects_take_seconds() -> None:
    labels = np.zeros((1500, 1500), np.int32)
    for number in range(10_000):
        row, col = divmod(number, 100)
        labels[row * 15 : row * 15 + 11, col * 15 : col * 15 + 11] = number + 1
    started = time.process_time()
    found = trace(labels)
    assert time.process_time() - started < 20 and len(found) == 10_000
    canvas = Image.new("I", (3000, 3000))
    draw = ImageDraw.Draw(canvas)
    for number, ((ring,),) in found.items():
        (left, top), (right, bottom) = ring.min(0).tolist(), ring.max(0).tolist()
        draw.rectangle((left, top, right - 1, bottom - 1), fill=number)
    assert (np.asarray(canvas)[:1500, :1500] == labels).all()
