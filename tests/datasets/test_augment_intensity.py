"""Augmentation of intensities: the image's alone, within [0, 1], with numbers worked out by hand."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from bioseg.datasets import augment
from bioseg.datasets.augment import Augmentation, Parameters, apply, strong_intensity
from tests.datasets.augmented import INTENSITY, changed, smooth


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Images this small gain nothing from more; conftest gives them back."""
    torch.set_num_threads(1)


class TestIntensity:
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("name", INTENSITY)
    def test_changes_images_within_0_and_1_and_no_mask(self, name, channels):
        assert len(INTENSITY) == 10
        images, masks = smooth(16, channels), (smooth(16) > 0.5).float()
        for extreme in (images, torch.zeros_like(images), torch.ones_like(images)):
            after = changed(Augmentation(**{name: INTENSITY[name]}), extreme, masks)
            assert after[1] is masks
            assert after[0].shape == images.shape
            assert after[0].isfinite().all()
            assert after[0].min() >= 0
            assert after[0].max() <= 1
        assert not torch.equal(changed(Augmentation(**{name: INTENSITY[name]}), images)[0], images)

    @pytest.mark.parametrize(
        ("step", "parameters", "expected"),
        [
            (augment._gamma, [np.log(2)], [0.0, 0.0625, 0.25, 0.5625, 1.0]),
            (augment._curve, [[0.25, 0.5]], [0.0, 0.5, 2 / 3, 5 / 6, 1.0]),
            (augment._contrast, [[0.5, 0.1]], [0.35, 0.475, 0.6, 0.725, 0.85]),
            (augment._inversion, [1.0], [1.0, 0.75, 0.5, 0.25, 0.0]),
            (augment._bias_field, [np.full((4, 4), -0.1)], [0.0, 0.15, 0.4, 0.65, 0.9]),
        ],
    )
    def test_by_hand(self, step, parameters, expected):
        images = torch.linspace(0, 1, 5).reshape(1, 1, 1, 5)
        after, _ = apply(images, images, Parameters(None, "zero", ((step, np.array(parameters, np.float32)),), 0))
        assert after.flatten().tolist() == pytest.approx(expected, abs=1e-6)

    def test_blur_spreads_a_point_as_a_gaussian_does_and_keeps_its_sum(self):
        point = torch.zeros(1, 1, 11, 11)
        point[0, 0, 5, 5] = 1
        after, _ = apply(point, point, Parameters(None, "zero", ((augment._blur, np.array([1.0], np.float32)),), 0))
        assert float(after.sum()) == pytest.approx(1, abs=1e-5)
        assert float(after[0, 0, 5, 6] / after[0, 0, 5, 5]) == pytest.approx(np.exp(-0.5), abs=1e-5)
        assert float(after[0, 0, 7, 5] / after[0, 0, 5, 5]) == pytest.approx(np.exp(-2), abs=1e-5)

    def test_noise_has_the_deviation_that_was_drawn(self):
        grey = torch.full((2, 1, 128, 128), 0.5)
        steps = ((augment._noise, np.array([0.05, 0.0], np.float32)),)
        after, _ = apply(grey, grey, Parameters(None, "zero", steps, 7))
        assert float(after[0].std()) == pytest.approx(0.05, rel=0.05)
        assert torch.equal(after[1], grey[1])
        other, _ = apply(grey, grey, Parameters(None, "zero", steps, 8))
        assert not torch.equal(after, other)

    def test_the_bias_field_is_smooth(self):
        grey = torch.full((20, 1, 64, 64), 0.5)
        after = changed(Augmentation(bias_field=0.1, bias_chance=1.0), grey)[0]
        assert after.diff(dim=2).abs().max() < 0.05
        assert after.std() > 0.03

    def test_a_random_filter_keeps_mean_and_deviation(self):
        grey = 0.4 + 0.2 * smooth(12, 2)
        kernels = np.random.default_rng(0).standard_normal((12, 25)).astype(np.float32)
        steps = ((augment._convolution, np.concatenate([kernels, np.ones((12, 1), np.float32)], 1)),)
        after, _ = apply(grey, grey, Parameters(None, "zero", steps, 0))
        assert torch.allclose(after.mean((2, 3)), grey.mean((2, 3)), atol=1e-3)
        assert torch.allclose(after.std((2, 3)), grey.std((2, 3)), rtol=0.02)
        assert (after - grey).abs().mean((2, 3)).min() > 1e-3

    def test_fourier_mixing_takes_the_partners_amplitudes_and_keeps_the_phases(self):
        images = smooth(2)
        after = augment._fourier(images, torch.tensor([[1.0, 1.0], [0.0, 0.0]]), 0)
        ours, own, partner = (torch.fft.rfft2(one) for one in (after[0], images[0], images[1]))
        assert torch.allclose(ours.abs(), partner.abs(), atol=1e-3)
        strong = own.abs() > 1
        assert torch.allclose((ours * own.conj()).angle()[strong], torch.zeros(()), atol=1e-2)
        assert torch.allclose(after[1], images[1], atol=1e-5)

    def test_strong_intensity_adds_what_was_measured_and_keeps_the_geometry(self):
        geometry = Augmentation(rotation_deg=10.0, zoom=(0.8, 1.2), flip_cols=0.5)
        strong = asdict(strong_intensity(geometry))
        added = {name: value for name, value in strong.items() if value != asdict(geometry)[name]}
        assert added == {
            "gamma": 0.9, "contrast": 0.4, "offset": 0.2, "curve_chance": 0.3, "blur_px": 1.5, "noise": 0.08,
            "bias_field": 0.15,
        }  # fmt: skip
        chances = [strong[name] for name in ("gamma_chance", "blur_chance", "noise_chance", "bias_chance")]
        assert chances == [0.8, 0.3, 0.3, 0.4]
