"""What becomes of stored values before a network sees them: rescale, channels, window, polarity, what is no number."""

from dataclasses import replace

import numpy as np
import pytest

from bioseg.datasets import phantoms
from bioseg.images import prepare
from bioseg.images.formats import RawImage
from bioseg.images.prepare import Preparation, prepare_image, to_unit
from bioseg.specs import call

RAW = (call(lambda values: values),)  # values go through as they are


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


class TestPolarityAndChannels:
    def test_polarity_comes_after_rescale_and_window(self):
        """DICOM's greyscale pipeline (PS3.4 N.2): stored values → Hounsfield units → window → polarity."""
        stored, window = np.array([[0, 1024, 1424, 4095]], np.int16), call(prepare.fixed_window, low=0.0, high=400.0)
        how = Preparation((1, 4), intensity=(window,))
        for slope, intercept, grey in (
            (1, -1024, [1, 1, 0, 0]),
            (0.5, -612, [1, 1, 0.75, 0]),
            (-1, 1424, [0, 0, 1, 1]),
        ):
            film = RawImage(stored, inverted=True, slope=slope, intercept=intercept, white=4095)
            assert to_unit(film, how).tolist() == [grey]
            assert np.array_equal(to_unit(replace(film, inverted=False), how), 1 - np.array([grey], np.float32))

    @pytest.mark.parametrize("window", [call(prepare.min_max), call(prepare.percentile_window, low=1.0, high=99.0)])
    def test_windows_of_the_images_own_range_do_not_mind_when_it_is_inverted(self, window):
        stored = np.rint(noise(30, 40) * 4095).astype(np.uint16)
        how = Preparation((30, 40), intensity=(window,))
        for rescale in ({}, {"slope": 2.0, "intercept": -500.0}):
            later = to_unit(RawImage(stored, inverted=True, white=4095, **rescale), how)
            first = to_unit(RawImage(4095 - stored, white=4095, **rescale), how)
            assert np.allclose(later, first, atol=1e-5)

    def test_polarity_comes_before_the_steps_that_look_at_anatomy(self):
        chest = np.asarray(phantoms.chest(np.random.default_rng(0), (96, 96))[0], np.float32)
        seen = []

        def look(values):
            seen.append(values)
            return values

        how = Preparation((96, 96), intensity=(call(prepare.min_max), call(look), call(prepare.chest_upright)))
        upright = to_unit(RawImage(chest), how)
        assert np.allclose(to_unit(RawImage(chest.max() - chest, inverted=True), how), upright, atol=1e-6)
        assert np.allclose(seen[1], seen[0], atol=1e-6)
        mislabelled = to_unit(RawImage(chest, inverted=True), how)  # says MONOCHROME1, but bones are white
        assert np.allclose(mislabelled, upright, atol=1e-6)

    def test_rescale_gives_hounsfield_units(self):
        raw_image = RawImage(np.array([[0, 1000, 3000]], np.int16), slope=1, intercept=-1024)
        assert to_unit(raw_image, Preparation((1, 3), intensity=RAW)).tolist() == [[-1024, -24, 1976]]

    def test_alpha_is_dropped_and_grey_is_luma(self):
        pixels = np.array([[[255, 0, 0, 9], [0, 255, 0, 9], [0, 0, 255, 9], [80, 80, 80, 9]]], np.uint8)
        grey = to_unit(RawImage(pixels), Preparation((1, 4), intensity=RAW))
        assert np.allclose(grey, [[76.245, 149.685, 29.07, 80]])
        colour, _ = prepare_image(RawImage(pixels), Preparation((1, 4), channels=3, intensity=RAW))
        assert np.array_equal(np.moveaxis(colour, 0, -1), pixels[..., :3])

    def test_grey_is_repeated_for_three_channels(self):
        image, _ = prepare_image(RawImage(noise(8, 9)), Preparation((8, 9), channels=3))
        assert image.shape == (3, 8, 9)
        assert np.array_equal(image[0], image[1])
        assert np.array_equal(image[0], image[2])

    def test_what_is_no_number_is_dark(self):
        pixels = noise(6, 6) + 1
        pixels[0] = np.nan, np.inf, -np.inf, 1, 2, 1.5
        image, _ = prepare_image(RawImage(pixels), Preparation((6, 6)))
        assert np.isfinite(image).all()
        assert image[0, 0, :3].tolist() == [0, 1, 0]
        nothing, _ = prepare_image(RawImage(np.full((6, 6), np.nan, np.float32)), Preparation((6, 6)))
        assert not nothing.any()

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_values_at_the_end_of_a_type_stay_finite(self, dtype):
        most = np.finfo(dtype).max
        for low, high in ((-most, most), (0, most), (-np.inf, most), (np.nan, np.inf)):
            pixels = np.array([[low, 0, 1, high]], dtype)
            for raw_image in (RawImage(pixels), RawImage(pixels, slope=1e30, intercept=-1e38, inverted=True)):
                image, _ = prepare_image(raw_image, Preparation((1, 4)))
                assert np.isfinite(image).all()
                assert image.min() >= 0
                assert image.max() <= 1

    def test_the_stored_array_is_left_alone(self):
        pixels = np.where(noise(6, 6) > 0.5, np.nan, noise(6, 6)).astype(np.float32)
        before = pixels.copy()
        prepare_image(RawImage(pixels, inverted=True, slope=2.0), Preparation((4, 4)))
        assert np.array_equal(pixels, before, equal_nan=True)
