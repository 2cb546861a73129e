import numpy as np
import pytest

from bioseg.postprocess.masks import Postprocess, apply
from bioseg.types import Probability


def image() -> Probability:
    """20×20: a 6×6 square with a 1-pixel hole, a 2×2 speck, a diagonal chain of 3, and a notch at the border."""
    p = np.zeros((20, 20), np.float32)
    p[2:8, 2:8] = 0.9
    p[4, 4] = 0.1
    p[15:17, 15:17] = 0.6
    p[[12, 13, 14], [3, 4, 5]] = 0.8
    return p


def test_threshold() -> None:
    assert apply(image(), Postprocess()).sum() == 35 + 4 + 3
    assert apply(image(), Postprocess(threshold=0.7)).sum() == 35 + 3
    assert apply(np.full((2, 2), 0.5, np.float32), Postprocess()).sum() == 0


@pytest.mark.parametrize(
    ("how", "area"),
    [
        (Postprocess(min_object=4 / 400), 35 + 4),  # the chain of 3 is one object, and too small
        (Postprocess(min_object=5 / 400), 35),
        (Postprocess(max_hole=2 / 400), 36 + 4 + 3),
        (Postprocess(keep_largest=1), 35),
        (Postprocess(keep_largest=2, max_hole=2 / 400), 36 + 4),
        (Postprocess(keep_largest=9), 42),
    ],
)
def test_clean_up(how: Postprocess, area: int) -> None:
    assert apply(image(), how).sum() == area


def test_what_touches_the_border_is_no_hole() -> None:
    p = np.ones((10, 10), np.float32)
    p[0, 4] = p[5, 5] = 0
    mask = apply(p, Postprocess(max_hole=0.5))
    assert not mask[0, 4]
    assert mask[5, 5]


def test_nothing_in_nothing_out() -> None:
    how = Postprocess(min_object=0.01, max_hole=0.01, keep_largest=1)
    assert not apply(np.zeros((5, 5), np.float32), how).any()
    assert apply(np.ones((5, 5), np.float32), how).all()
