"""Preparation: what the steps do, that nothing shifts, and that the way back lands on the image's own grid."""

from dataclasses import fields, replace
from itertools import product
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bioseg.datasets import phantoms
from bioseg.images import prepare
from bioseg.images.formats import RawImage
from bioseg.images.prepare import Preparation, place, prepare_image, prepare_mask, restore
from bioseg.specs import call
from bioseg.types import BiosegError

KERNELS = get_args(prepare.Interpolation)
RAW = (call(lambda values: values),)  # values go through as they are
STEPS = {
    "min_max": call(prepare.min_max),
    "percentile_window": call(prepare.percentile_window),
    "percentile_window 1 99": call(prepare.percentile_window, low=1.0, high=99.0),
    "fixed_window": call(prepare.fixed_window, low=-100.0, high=3000.0),
    "invert": call(lambda values: prepare.invert(prepare.min_max(values), white=1.0)),
    "clahe": call(lambda values: prepare.clahe(prepare.min_max(values))),
    "chest_upright": call(lambda values: prepare.chest_upright(prepare.min_max(values))),
}


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


def disc(rows: int, cols: int, radius: float) -> np.ndarray:
    r, c = np.mgrid[:rows, :cols]
    return np.hypot(r - (rows - 1) / 2, c - (cols - 1) / 2) <= radius


def centre(weights: np.ndarray) -> tuple[float, float]:
    """(row, col) of the centre of mass, as shares of the sides."""
    r, c = np.indices(weights.shape) + 0.5
    total = weights.sum()
    return (r * weights).sum() / total / weights.shape[0], (c * weights).sum() / total / weights.shape[1]


def extent(mask: np.ndarray) -> tuple[int, int]:
    return int(mask.any(axis=1).sum()), int(mask.any(axis=0).sum())


class TestIntensity:
    @pytest.mark.parametrize("shape", [(40, 50), (40, 50, 3)])
    @pytest.mark.parametrize("name", STEPS)
    def test_every_step_ends_between_0_and_1(self, name, shape):
        assert len(STEPS) == 7
        for values in (noise(*shape) * 4000 - 500, np.full(shape, 7, np.float32), np.zeros(shape, np.float32)):
            done = STEPS[name](values)
            assert done.shape == shape
            assert done.dtype == np.float32
            assert np.isfinite(done).all()
            assert done.min() >= 0
            assert done.max() <= 1

    def test_by_hand(self):
        values = np.arange(101, dtype=np.float32).reshape(1, -1)  # percentile p is p
        assert np.allclose(prepare.min_max(values), values / 100)
        assert np.allclose(prepare.percentile_window(values, low=5, high=95), np.clip((values - 5) / 90, 0, 1))
        assert np.allclose(prepare.fixed_window(values, low=0, high=50), np.clip(values / 50, 0, 1))
        assert np.allclose(prepare.invert(values), 100 - values)
        assert np.allclose(prepare.invert(values, white=255), 255 - values)

    def test_flat_images_become_0(self):
        for step in (prepare.min_max, prepare.percentile_window, prepare.clahe):
            assert not step(np.full((9, 9), 0.5, np.float32)).any()

    def test_a_few_bright_spots_survive_the_percentiles(self):
        values = np.zeros((100, 100), np.float32)
        values[50, 50:53] = 900  # .03 % of the image
        assert prepare.percentile_window(values, low=1, high=99)[50, 51] == 1

    @pytest.mark.parametrize("shape", [(128, 128), (90, 130), (150, 100)])
    def test_a_chest_is_upright_whichever_way_it_came(self, shape: tuple[int, int]) -> None:
        for seed in range(10):
            drawn = np.asarray(phantoms.chest(np.random.default_rng(seed), shape)[0], np.float32)
            assert prepare.chest_upright(drawn) is drawn
            assert np.allclose(prepare.chest_upright(1 - drawn), drawn, atol=1e-6)

    def test_clahe_raises_local_contrast_and_a_higher_limit_more(self):
        dull = 0.5 + 0.02 * noise(128, 128)
        dull[0, 0], dull[0, 1] = 0, 1
        spreads = [prepare.clahe(dull, clip_limit=limit)[32:96, 32:96].std() for limit in (1.0, 3.0, 40.0)]
        assert dull[32:96, 32:96].std() < spreads[0] < spreads[1] < spreads[2]


class TestResize:
    @pytest.mark.parametrize(("source", "target"), [((31, 40), (64, 64)), ((64, 64), (31, 17)), ((50, 20), (25, 60))])
    def test_agrees_with_pytorch(self, source, target):
        values = noise(*source)
        ours, _ = prepare_image(RawImage(values), Preparation(target, intensity=RAW))
        theirs = torch.nn.functional.interpolate(
            torch.from_numpy(values)[None, None], target, mode="bilinear", antialias=True
        )
        assert np.allclose(ours[0], theirs[0, 0].numpy(), atol=1e-5)

    @pytest.mark.parametrize(("kernel", "target"), list(product(KERNELS, [(16, 16), (90, 70), (45, 33)])))
    def test_keeps_range_and_mean_and_shifts_nothing(self, kernel, target):
        assert len(KERNELS) == 4
        r, c = np.mgrid[:60, :60] + 0.5
        values = np.exp(-((r - 20) ** 2 + (c - 36) ** 2) / 200).astype(np.float32)
        done = prepare_image(RawImage(values), Preparation(target, intensity=RAW, interpolation=kernel))[0][0]
        assert done.shape == target
        assert values.min() <= done.min() <= done.max() <= values.max()
        assert done.mean() == pytest.approx(values.mean(), rel=0.02)
        assert centre(done) == pytest.approx(centre(values), abs=0.002 if kernel != "nearest" else 0.01)

    def test_shrinking_averages_all_pixels_but_nearest_picks_one(self):
        board = (np.indices((64, 64)).sum(0) % 2).astype(np.float32)
        for kernel in KERNELS:
            shrunk = prepare_image(RawImage(board), Preparation((8, 8), intensity=RAW, interpolation=kernel))[0]
            near_grey = bool(np.abs(shrunk[0, 1:-1, 1:-1] - 0.5).max() < 0.05)
            assert near_grey == (kernel != "nearest")


class TestPlacement:
    def test_the_crop_is_central(self):
        assert place((256, 256), Preparation((128, 128), crop_px=(128, 128))).crop == (64, 64, 128, 128)
        assert place((100, 301), Preparation((8, 8), crop_px=(128, 100))).crop == (0, 100, 100, 100)

    @given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 70), st.integers(1, 70))
    def test_a_letterbox_fits_touches_two_edges_and_is_central(self, rows, cols, height, width):
        top, left, inner_rows, inner_cols = place((rows, cols), Preparation((height, width), fit="letterbox")).inner
        assert 1 <= inner_rows <= height
        assert 1 <= inner_cols <= width
        assert inner_rows == height or inner_cols == width
        assert (top, left) == ((height - inner_rows) // 2, (width - inner_cols) // 2)

    def test_a_letterbox_keeps_discs_round_and_stretching_does_not(self):
        mask = disc(90, 270, 40)
        for fit, expected in (("letterbox", (39, 39)), ("stretch", (115, 38))):
            how = Preparation((128, 128), fit=fit)
            got = extent(prepare_mask(mask, place(mask.shape, how), how))
            assert got == pytest.approx(expected, abs=2)

    def test_padding_is_dark_and_outside(self):
        how = Preparation((60, 60), fit="letterbox", intensity=RAW)
        image, placement = prepare_image(RawImage(np.ones((10, 20), np.float32)), how)
        mask = prepare_mask(np.ones((10, 20), np.bool_), placement, how)
        assert image[0].sum() == mask.sum() == 30 * 60
        assert mask[15:45].all()


class TestMasks:
    def test_the_threshold_says_how_much_must_be_covered(self):
        mask = np.zeros((40, 40), np.bool_)
        mask[17, 17] = True  # 1 of the 16 pixels that become one
        for threshold, inside in ((0.0, True), (0.5, False)):
            how = Preparation((10, 10), mask_threshold=threshold)
            done = prepare_mask(mask, place(mask.shape, how), how)
            assert done.any() == inside
            assert done.sum() <= 4
        half, how = np.array([[True, False]]), Preparation((1, 1))
        assert not prepare_mask(half, place(half.shape, how), how).any()

    def test_masks_have_their_own_interpolation(self):
        """Nearest takes the one pixel in the middle of each four, whatever is done with images."""
        mask = np.zeros((40, 40), np.bool_)
        mask[18, 18] = True
        for kernel, inside in (("nearest", True), ("bilinear", False)):
            how = Preparation((10, 10), mask_interpolation=kernel, interpolation="lanczos")
            assert prepare_mask(mask, place(mask.shape, how), how).any() == inside

    @pytest.mark.parametrize("kernel", KERNELS)
    def test_a_mask_of_the_same_size_stays(self, kernel):
        mask = noise(30, 20) > 0.5
        how = Preparation((30, 20), mask_interpolation=kernel)
        assert np.array_equal(prepare_mask(mask, place(mask.shape, how), how), mask)

    def test_nearest_doubles_exactly(self):
        mask = noise(15, 10) > 0.5
        how = Preparation((30, 20), mask_interpolation="nearest")
        assert np.array_equal(prepare_mask(mask, place(mask.shape, how), how), mask.repeat(2, 0).repeat(2, 1))


class TestWayBack:
    @given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.integers(1, 60))
    @settings(max_examples=60, deadline=None)
    def test_exact_where_the_scale_is_1(self, rows, cols, height, width):
        """Crop, then a letterbox that pads one side only: prepare and restore give the part back bit for bit."""
        part = min(rows, height), min(cols, width)
        how = Preparation((part[0], max(part[1], 64)), crop_px=(height, width), fit="letterbox", intensity=RAW)
        values = noise(rows, cols)
        image, placement = prepare_image(RawImage(values), how)
        back = restore(image[0], placement)
        top, left = (rows - part[0]) // 2, (cols - part[1]) // 2
        expected = np.zeros_like(values)
        window = slice(top, top + part[0]), slice(left, left + part[1])
        expected[window] = values[window]
        assert np.array_equal(back, expected)

    @pytest.mark.parametrize("shape", [(97, 203), (203, 97), (64, 64), (250, 60)])
    @pytest.mark.parametrize("crop", [None, (50, 80)])
    @pytest.mark.parametrize("fit", ["stretch", "letterbox"])
    def test_lands_where_it_came_from(self, shape, crop, fit):
        how = Preparation((128, 96), crop_px=crop, fit=fit, intensity=RAW)
        placement = place(shape, how)
        top, left, rows, cols = placement.crop
        mask = np.zeros(shape, np.bool_)
        mask[top + rows // 4 : top + rows * 3 // 4, left + cols // 4 : left + cols // 2] = True
        back = restore(prepare_mask(mask, placement, how).astype(np.float32), placement)
        assert back.shape == shape
        assert back[mask].mean() > 0.85
        assert back[~mask].mean() < 0.05
        outside = np.ones(shape, np.bool_)
        outside[top : top + rows, left : left + cols] = False
        assert not back[outside].any()
        whole = restore(np.ones(how.size_px, np.float32), placement)
        assert np.array_equal(whole == 1, ~outside)

    @given(st.integers(5, 90), st.integers(5, 90), st.sampled_from(["stretch", "letterbox"]))
    @settings(max_examples=40, deadline=None)
    def test_a_slope_comes_back_as_it_was(self, rows, cols, fit):
        """A plane is reproduced by linear interpolation wherever its kernel does not meet the edge."""
        r, c = np.mgrid[:rows, :cols]
        values = (0.2 + 0.3 * r / rows + 0.4 * c / cols).astype(np.float32)
        image, placement = prepare_image(RawImage(values), Preparation((64, 64), fit=fit, intensity=RAW))
        difference = np.abs(restore(image[0], placement) - values)
        edge = 2 + max(rows, cols) // 30
        assert difference[edge:-edge, edge:-edge].max(initial=0) < 0.004
        assert difference.max() < 0.06


class TestRefusals:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"channels": 0}, {"fit": "squeeze"}, {"interpolation": "cubic"}, {"mask_interpolation": "none"},
            {"merge": "never"}, {"targets": ("marker",)}, {"targets": ("foreground", "outside")}, {"size_px": (0, 5)},
            {"size_px": (5,)}, {"crop_px": (5, -1)},
        ],
    )  # fmt: skip
    def test_what_cannot_be_carried_out(self, wrong):
        ((name, value),) = wrong.items()
        with pytest.raises(BiosegError) as caught:
            replace(Preparation((4, 4)), **wrong)
        assert f"preparation.{name}: {value!r}" in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("first", [(call(prepare.chest_upright), call(prepare.min_max)), (call(prepare.clahe),)])
    def test_the_first_step_is_a_window(self, first):
        with pytest.raises(BiosegError, match=r"preparation\.intensity: begins with \w+; begin with a window"):
            Preparation((4, 4), intensity=first)

    def test_every_field_is_used_or_refused(self):
        assert {field.name for field in fields(Preparation)} == {
            "size_px", "channels", "intensity", "crop_px", "fit", "interpolation", "mask_interpolation",
            "mask_threshold", "merge", "targets", "classes", "select",
        }  # fmt: skip
