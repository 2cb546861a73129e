import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance
from scipy import ndimage

from bioseg.evaluation import surface
from bioseg.types import Mask


def square(top: int, left: int, side: int) -> Mask:
    mask = np.zeros((40, 50), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def blob(seed: int) -> Mask:
    noise = np.random.default_rng(seed).normal(size=(48, 64))
    smooth = ndimage.gaussian_filter(noise, 5)
    return np.asarray(smooth > np.quantile(smooth, 0.7))


def test_shifted_square_by_hand() -> None:
    a, b = square(10, 10, 8), square(10, 13, 8)
    assert surface.hausdorff95(a, b) == 3
    assert surface.hausdorff95(a, b, spacing_mm=(1, 0.5)) == 1.5
    assert surface.hausdorff95(a, a) == 0
    # Each contour has 28 pixels. Of one, the far side (8) and its row neighbours (2 × 2) lie 1 to 3 px off the other.
    within = [surface.surface_dice(a, b, tolerance_mm=t) for t in (0, 1, 2, 3)]
    assert within == sorted(within)
    assert within[-1] == 1
    assert within[0] == pytest.approx((28 - 8 - 8 - 4 + 2) / 28, abs=0.2)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.7, 1.9)])
@pytest.mark.parametrize("seed", range(6))
def test_hausdorff_against_monai(seed: int, spacing: tuple[float, float]) -> None:
    a, b = blob(seed), blob(seed + 100)
    a[:2], a[-2:], a[:, :2], a[:, -2:] = (
        False,
        False,
        False,
        False,
    )  # MONAI does not count the image's edge as outside
    b[:2], b[-2:], b[:, :2], b[:, -2:] = False, False, False, False
    theirs = compute_hausdorff_distance(
        torch.from_numpy(a)[None, None].float(), torch.from_numpy(b)[None, None].float(), include_background=True,
        percentile=95, spacing=list(spacing),
    )  # fmt: skip
    assert surface.hausdorff95(a, b, spacing_mm=spacing) == pytest.approx(theirs.item(), rel=1e-4)


def test_both_ways_are_one_and_place_does_not_matter() -> None:
    a, b = blob(1), blob(2)
    assert surface.hausdorff95(a, b) == surface.hausdorff95(b, a)
    assert surface.surface_dice(a, b, tolerance_mm=2) == surface.surface_dice(b, a, tolerance_mm=2)
    wider = [np.pad(mask, ((17, 3), (5, 40))) for mask in (a, b)]
    assert surface.hausdorff95(wider[0], wider[1]) == surface.hausdorff95(a, b)


def test_empty_masks_and_bad_spacing() -> None:
    empty, full = np.zeros((9, 9), bool), np.ones((9, 9), bool)
    assert math.isnan(surface.hausdorff95(empty, full))
    assert math.isnan(surface.hausdorff95(empty, empty))
    assert math.isnan(surface.surface_dice(empty, empty, tolerance_mm=1))
    assert surface.surface_dice(full, empty, tolerance_mm=1) == 0
    with pytest.raises(ValueError, match="not positive"):
        surface.hausdorff95(full, full, spacing_mm=(1, 0))
    with pytest.raises(ValueError, match="differ in shape"):
        surface.hausdorff95(full, full[:5])


def test_units_stand_in_the_name() -> None:
    a, b = square(10, 10, 8), square(10, 13, 8)
    assert surface.surface_scores(a, b, spacing_mm=None)["hd95_px"] == 3
    assert surface.surface_scores(a, b, spacing_mm=(2, 2))["hd95_mm"] == 6
