import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from bioseg.evaluation import overlap
from bioseg.evaluation.overlap import Confusion
from bioseg.types import Mask

MASKS = st.integers(0, 2**24 - 1).map(lambda bits: np.array([bits >> n & 1 for n in range(24)], bool).reshape(4, 6))
EMPTY, FULL = np.zeros((4, 6), bool), np.ones((4, 6), bool)


def test_by_hand() -> None:
    # Truth: the left half of 4×6. Prediction: columns 2, 3, 4. So TP 4, FP 8, FN 8, TN 4.
    truth, predicted = EMPTY.copy(), EMPTY.copy()
    truth[:, :3], predicted[:, 2:5] = True, True
    c = overlap.confusion(predicted, truth)
    assert c == Confusion(4, 8, 8, 4)
    assert c.swapped == Confusion(4, 8, 8, 4)
    assert overlap.dice(c) == pytest.approx(1 / 3)
    assert overlap.iou(c) == pytest.approx(1 / 5)
    assert overlap.precision(c) == overlap.recall(c) == pytest.approx(1 / 3)
    assert overlap.accuracy(c) == pytest.approx(1 / 3)
    assert overlap.smoothed_dice(c) == pytest.approx(9 / 25)
    assert overlap.smoothed_iou(c) == pytest.approx(5 / 21)


@given(MASKS, MASKS)
def test_against_scikit_learn(predicted: Mask, truth: Mask) -> None:
    c = overlap.confusion(predicted, truth)
    assert (c.tn, c.fp, c.fn, c.tp) == tuple(
        metrics.confusion_matrix(truth.ravel(), predicted.ravel(), labels=[False, True]).ravel()
    )
    for ours, theirs in (
        (overlap.dice, metrics.f1_score),
        (overlap.iou, metrics.jaccard_score),
        (overlap.precision, metrics.precision_score),
        (overlap.recall, metrics.recall_score),
    ):
        value = ours(c)
        if not math.isnan(value):
            assert value == pytest.approx(theirs(truth.ravel(), predicted.ravel(), zero_division=0))


@given(MASKS, MASKS)
def test_dice_and_iou_are_one_thing(predicted: Mask, truth: Mask) -> None:
    c = overlap.confusion(predicted, truth)
    if c.tp + c.fp + c.fn:
        iou = overlap.iou(c)
        assert overlap.dice(c) == pytest.approx(2 * iou / (1 + iou))


def test_empty_masks() -> None:
    nothing = overlap.standard_scores(EMPTY, EMPTY)
    assert {name for name, value in nothing.items() if math.isnan(value)} == {
        "dice", "iou", "precision", "recall", "two_class_dice", "two_class_iou",
    }  # fmt: skip
    assert nothing["background_dice"] == nothing["accuracy"] == 1
    false_alarm = overlap.standard_scores(FULL, EMPTY)
    assert false_alarm["dice"] == false_alarm["iou"] == false_alarm["precision"] == 0
    assert math.isnan(false_alarm["recall"])
    missed = overlap.standard_scores(EMPTY, FULL)
    assert missed["dice"] == missed["recall"] == 0
    assert math.isnan(missed["precision"])


def test_the_studies_own_scores_are_always_defined() -> None:
    scores = overlap.nuclei_scores(EMPTY * 1.0, EMPTY, EMPTY)
    assert scores["nuclei_dice"] == scores["nuclei_two_class_iou"] == 1
    assert overlap.smoothed_iou(overlap.confusion(EMPTY, EMPTY)) == 1
    # Smoothing .001, by hand: TP 4, FP 8, FN 8 → (8 + .001) / (24 + .001).
    truth, predicted = EMPTY.copy(), EMPTY.copy()
    truth[:, :3], predicted[:, 2:5] = True, True
    assert overlap.nuclei_scores(predicted * 1.0, predicted, truth)["nuclei_dice"] == pytest.approx(8.001 / 24.001)


def test_shares_add_up_and_shapes_must_agree() -> None:
    scores = overlap.standard_scores(FULL, EMPTY)
    assert sum(scores[f"share_{cell}"] for cell in ("tp", "fp", "fn", "tn")) == 1
    with pytest.raises(ValueError, match="differ in shape"):
        overlap.confusion(EMPTY, EMPTY[:, :3])
