"""Augmentation: all randomness is drawn first, and geometry is the same for mask and image."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from bioseg.datasets.augment import Augmentation, apply, draw
from bioseg.types import BiosegError
from tests.datasets.augmented import CHANCES, GEOMETRY, INTENSITY, blob, centre, changed, smooth


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Images this small gain nothing from more; conftest gives them back."""
    torch.set_num_threads(1)


def test_all_parameters_are_covered_here():
    covered = {*GEOMETRY, *INTENSITY, *CHANCES.values(), "fill", "distractors"}
    assert covered == {field.name for field in fields(Augmentation)}


class TestChance:
    everything = Augmentation(**GEOMETRY, **INTENSITY)

    def test_all_zero_hands_back_what_it_was_given(self):
        images, masks = smooth(), smooth() > 0.5
        for how in (Augmentation(), Augmentation(fill="zero")):
            after = apply(images, masks, draw(how, np.random.default_rng(0), 8, (48, 48)))
            assert after[0] is images
            assert after[1] is masks

    def test_the_same_parameters_give_the_same_batch_and_leave_the_input_alone(self):
        images, masks = smooth(), (smooth() > 0.5).float()
        before = images.clone(), masks.clone()
        drawn = draw(self.everything, np.random.default_rng(3), 8, (48, 48))
        first, second = apply(images, masks, drawn), apply(images, masks, drawn)
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
        assert torch.equal(images, before[0])
        assert torch.equal(masks, before[1])
        assert not torch.equal(first[0], images)

    def test_only_the_generator_given_is_asked(self):
        images = smooth()
        np.random.seed(1)  # noqa: NPY002
        torch.manual_seed(1)
        states = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
        first = changed(self.everything, images, seed=5)
        assert np.array_equal(np.random.get_state()[1], states[0])  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), states[1])
        torch.manual_seed(99)
        assert torch.equal(first[0], changed(self.everything, images, seed=5)[0])
        assert not torch.equal(first[0], changed(self.everything, images, seed=6)[0])

    def test_every_image_has_its_own_turn_and_no_neighbour_matters(self):
        how = replace(self.everything, noise=0.0, fourier_chance=0.0)  # these two are of the batch as a whole
        images, masks = smooth(6), (smooth(6) > 0.5).float()
        drawn = draw(how, np.random.default_rng(0), 6, (48, 48))
        together = apply(images, masks, drawn)
        for i in range(6):
            own = replace(drawn, affine=drawn.affine[i : i + 1], steps=tuple((f, p[i : i + 1]) for f, p in drawn.steps))
            alone = apply(images[i : i + 1], masks[i : i + 1], own)
            assert torch.allclose(alone[0], together[0][i : i + 1], atol=1e-5)
            assert torch.equal(alone[1], together[1][i : i + 1])
        assert len({tuple(row) for row in drawn.affine.reshape(6, -1)}) == 6

    @pytest.mark.parametrize("name", CHANCES)
    def test_a_chance_spares_its_share_of_images_bit_for_bit(self, name):
        images = smooth(200, rows=16, cols=16)
        images[:, :, 0] = 0
        for chance, low, high in ((0.0, 0, 0), (0.3, 0.2, 0.4), (1.0, 0.99, 1)):
            how = Augmentation(**{name: INTENSITY[name]} | {CHANCES[name]: chance})
            after = changed(how, images)[0]
            hit = (after != images).flatten(1).any(1).float().mean()
            assert low <= hit <= high


class TestGeometry:
    @pytest.mark.parametrize("fill", ["nearest", "zero"])
    @pytest.mark.parametrize("name", GEOMETRY)
    def test_mask_and_image_move_as_one(self, name, fill):
        assert len(GEOMETRY) == 8
        masks = (smooth(8, 2) > 0.5).float()
        after = changed(Augmentation(**{name: GEOMETRY[name]}, fill=fill), masks, masks)
        assert torch.equal((after[0] > 0.5).float(), after[1])
        assert not torch.equal(after[1], masks)
        assert set(after[1].unique().tolist()) == {0.0, 1.0}
        assert after[1].shape == masks.shape

    def test_flips_are_flips(self):
        images = smooth(3, 2, 20, 33)
        for name, axis in (("flip_rows", 2), ("flip_cols", 3)):
            after, masks = changed(Augmentation(**{name: 1.0}), images)
            assert torch.allclose(after, images.flip(axis), atol=1e-5)
            assert torch.allclose(masks, (images > 0.5).float().flip(axis))

    def test_quarter_turns_are_all_four_and_exact_and_left_out_on_oblong_grids(self):
        images = smooth(64)
        after = changed(Augmentation(quarter_turns=True), images)[0]
        seen = []
        for i in range(64):
            fits = [k for k in range(4) if torch.allclose(after[i], images[i].rot90(k, (1, 2)), atol=1e-4)]
            assert len(fits) == 1
            seen += fits
        assert set(seen) == {0, 1, 2, 3}
        oblong = smooth(16, 1, 20, 40)
        assert torch.allclose(changed(Augmentation(quarter_turns=True), oblong)[0], oblong, atol=1e-5)

    @pytest.mark.parametrize("shape", [(96, 96), (64, 160)])
    def test_a_rotation_turns_in_pixels_about_the_middle(self, shape):
        """A blob 20 px from the middle stays 20 px from it and round, on an oblong grid too."""
        rows, cols = shape
        images = blob(rows, cols, (rows / 2, cols / 2 + 20), sd=4).repeat(32, 1, 1, 1)
        after = changed(Augmentation(rotation_deg=60.0), images)[0]
        angles = []
        for plane in after[:, 0]:
            r, c = centre(plane)
            assert np.hypot(r - rows / 2, c - cols / 2) == pytest.approx(20, abs=0.2)
            assert float(plane.sum()) == pytest.approx(float(images[0].sum()), rel=0.02)
            angles.append(np.degrees(np.arctan2(r - rows / 2, c - cols / 2)))
        assert -60 <= min(angles) < -40
        assert 40 < max(angles) <= 60

    def test_a_shift_is_a_share_of_each_side(self):
        images = blob(80, 160, (40, 80), sd=3).repeat(64, 1, 1, 1)
        moves = np.array([centre(plane) for plane in changed(Augmentation(shift=0.2), images)[0][:, 0]]) - (40, 80)
        assert np.abs(moves).max(axis=0) == pytest.approx((16, 32), abs=2)
        assert np.abs(moves).max(axis=0)[0] <= 16.1
        assert np.abs(moves).max(axis=0)[1] <= 32.1

    def test_zoom_2_makes_areas_4_times_as_large_and_a_half_a_quarter(self):
        images = blob(96, 96, (48, 48), sd=8)
        for factor in (2.0, 0.5):
            after = changed(Augmentation(zoom=(factor, factor), fill="zero"), images)[0]
            assert float(after.sum() / images.sum()) == pytest.approx(factor**2, rel=0.03)
            assert centre(after[0, 0]) == pytest.approx((48, 48), abs=0.1)

    def test_aspect_trades_width_for_height(self):
        images = blob(96, 96, (48, 48), sd=6).repeat(64, 1, 1, 1)
        after = changed(Augmentation(aspect=1.5), images)[0][:, 0]
        assert after.sum((1, 2)).numpy() == pytest.approx(float(images[0].sum()), rel=0.01)
        tall, wide = (((after.sum(axis) * (torch.arange(96) - 47.5) ** 2).sum(1)) ** 0.5 for axis in (2, 1))
        ratio = (wide / tall).numpy()
        assert ratio.max() == pytest.approx(1.5, abs=0.05) and ratio.min() == pytest.approx(1 / 1.5, abs=0.05)

    def test_shear_moves_upper_and_lower_half_apart_and_keeps_areas(self):
        images = (blob(96, 96, (28, 48), sd=4) + blob(96, 96, (68, 48), sd=4)).repeat(32, 1, 1, 1)
        after = changed(Augmentation(shear_deg=20.0), images)[0]
        apart = np.array([centre(plane[:48])[1] - centre(plane[48:])[1] for plane in after[:, 0]])
        assert 0.8 * 40 * np.tan(np.radians(20)) < np.abs(apart).max() <= 40 * np.tan(np.radians(20)) + 0.1
        assert float(after.sum() / images.sum()) == pytest.approx(1, abs=0.01)

    def test_fill(self):
        """Shrunk to a half, a white image stays white, or lies in a black frame; so does its mask."""
        white = torch.ones(1, 1, 40, 40)
        for fill, share in (("nearest", 1.0), ("zero", 0.25)):
            after = changed(Augmentation(zoom=(0.5, 0.5), fill=fill), white)
            assert after[0].mean() == pytest.approx(share, abs=0.02)
            assert after[1].mean() == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(
    "wrong",
    [
        {"zoom": (0.0, 1.0)},
        {"zoom": (1.2, 0.8)},
        {"aspect": 0.8},
        {"fill": "wrap"},
        {"flip_rows": 1.5},
        {"noise_chance": -0.1},
    ],
)
def test_refuses_what_cannot_be_drawn(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(BiosegError) as caught:
        Augmentation(**wrong)
    assert str(caught.value).startswith(f"augmentation.{name}: ")
    assert all(str(part) in str(caught.value) for part in np.ravel(value))


class TestDistractors:
    def test_they_lie_outside_the_mask_and_spare_the_inside(self):
        images = torch.full((16, 1, 48, 48), 0.5)
        masks = torch.zeros(16, 1, 48, 48)
        masks[:, :, 12:36, 20:30] = 1
        seen, after = changed(Augmentation(distractors=3), images, masks)
        assert torch.equal(after, masks)
        assert torch.equal(seen[masks > 0], images[masks > 0])
        touched = (seen != images).flatten(1).any(1)
        assert 10 <= touched.sum() <= 16  # each of three is there by one half, so an eighth of the images has none
        assert 0 <= seen.min() < 0.3 and 0.7 < seen.max() <= 1

    def test_what_else_is_drawn_does_not_change(self):
        how = Augmentation(rotation_deg=20, noise=0.1, noise_chance=1.0)
        ours, other = (draw(one, np.random.default_rng(0), 4, (32, 32)) for one in (how, replace(how, distractors=2)))
        assert np.array_equal(ours.affine, other.affine) and ours.seed == other.seed
        assert ours.blobs is None and other.blobs.shape == (4, 2, 7)


def test_a_mirrored_fill_continues_the_image():
    """Stripes shifted by a whole period of their mirror image stay stripes to the edge; zeros would not."""
    images = smooth()
    for fill, least in (("zero", 0.0), ("mirror", 1e-4)):
        seen, _ = changed(Augmentation(shift=0.3, fill=fill), images + 0.2)
        assert (seen[:, 0].amin((1, 2)) > least).all() == (fill == "mirror")


@pytest.mark.parametrize("fill", ["nearest", "zero", "mirror"])
@pytest.mark.parametrize("name", GEOMETRY)
def test_presence_is_of_the_whole_image_wherever_that_is_moved(name, fill):
    """Zeros came in from outside, so that a moved image with an object was half without one."""
    images, foreground = smooth(8), (smooth(8) > 0.5).float()
    presence = (torch.arange(8) % 2).float()[:, None, None, None].expand(8, 1, 48, 48)
    masks = torch.cat([foreground, presence], dim=1)
    drawn = draw(Augmentation(**{name: GEOMETRY[name]}, fill=fill), np.random.default_rng(0), 8, (48, 48))
    before = masks.clone()
    seen, after = apply(images, masks, drawn, ("foreground", "presence"))
    assert torch.equal(after[:, 1:], presence)
    assert torch.equal(masks, before)
    plain, alone = apply(images, foreground, drawn)
    assert torch.equal(seen, plain) and torch.equal(after[:, :1], alone)
