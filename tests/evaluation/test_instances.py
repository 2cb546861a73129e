import math

import numpy as np
import pytest

from bioseg.evaluation.instances import instance_scores


def labels(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """A 40×40 grid with one object a box (top, left, bottom, right)."""
    grid = np.zeros((40, 40), np.int32)
    for number, (top, left, bottom, right) in enumerate(boxes, 1):
        grid[top:bottom, left:right] = 7 * number  # gaps in the numbers must not matter
    return grid


A, B = (0, 0, 10, 10), (20, 20, 30, 30)


def test_by_hand() -> None:
    # One exact hit, one hit of IoU 80 / 120 = .667 (above .50, .55, .60, .65), one extra object.
    found = instance_scores(labels(A, (20, 22, 30, 32), (35, 0, 39, 4)), labels(A, B))
    assert found["objects"], found["objects_found"] == (2, 2)
    assert found["ap50"] == pytest.approx(2 / 3)
    assert found["ap75"] == pytest.approx(1 / 4)
    assert found["ap"] == pytest.approx((4 * 2 / 3 + 6 * 1 / 4) / 10)


def test_a_merged_pair_is_one_hit_at_most() -> None:
    merged = labels((0, 0, 10, 20))
    apart = labels((0, 0, 10, 10), (0, 10, 10, 20))
    assert instance_scores(merged, apart)["ap50"] == 0  # IoU is exactly .5, which is not above
    assert instance_scores(labels((0, 0, 10, 14)), labels((0, 0, 10, 10), (0, 10, 10, 14)))["ap50"] == pytest.approx(
        1 / 2
    )


def test_nothing() -> None:
    empty = labels()
    assert math.isnan(instance_scores(empty, empty)["ap"])
    assert instance_scores(labels(A), empty)["ap"] == 0
    assert instance_scores(empty, labels(A))["ap50"] == 0


def test_perfect_whatever_the_numbers() -> None:
    truth = labels(A, B, (0, 30, 5, 35))
    other = np.where(truth == 7, 3, np.where(truth == 14, 99, truth))
    assert instance_scores(other, truth)["ap"] == 1
