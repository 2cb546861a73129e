import math

import pytest

from bioseg.evaluation.detection import box_iou, image_score
from bioseg.types import Box


def test_iou() -> None:
    assert box_iou(Box(0, 0, 10, 10), Box(5, 0, 10, 10)) == pytest.approx(50 / 150)
    assert box_iou(Box(0, 0, 10, 10), Box(10, 0, 10, 10)) == 0
    assert box_iou(Box(2, 3, 4, 5), Box(2, 3, 4, 5)) == 1
    assert box_iou(Box(0, 0, 0, 0), Box(0, 0, 0, 0)) == 0


def test_by_hand() -> None:
    # IoU 0.6: above .40 … .55, four of eight thresholds (.60 is not above .60).
    truth = [Box(0, 0, 100, 100)]
    assert image_score([Box(0, 0, 100, 60)], truth) == pytest.approx(4 / 8)
    # The same with an extra box: TP 1, FP 1 at four thresholds.
    assert image_score([Box(0, 0, 100, 60), Box(500, 500, 9, 9)], truth) == pytest.approx(4 / 8 / 2)


def test_the_surest_box_chooses_first_and_each_truth_is_taken_once() -> None:
    truth = [Box(0, 0, 100, 100)]
    sure, unsure = Box(0, 0, 100, 45, confidence=0.9), Box(0, 0, 100, 100, confidence=0.5)
    # At .40 the sure box takes the only truth, the exact one is an extra: 1/2. Above, the sure one misses: 1/2 too.
    assert image_score([unsure, sure], truth) == pytest.approx(1 / 2)
    two = [Box(0, 0, 100, 100), Box(300, 0, 100, 100)]
    assert image_score([Box(0, 0, 100, 100), Box(0, 0, 100, 99)], two) == pytest.approx(1 / 3)


def test_nothing() -> None:
    assert math.isnan(image_score([], []))
    assert image_score([Box(0, 0, 1, 1)], []) == 0
    assert image_score([], [Box(0, 0, 1, 1)]) == 0
