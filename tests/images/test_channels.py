"""Measured channels: chosen by number or by name, each with a window of its own; RGB stays what it was."""

from dataclasses import replace

import numpy as np
import pytest

from bioseg.images import channels, prepare
from bioseg.images.formats import to_raw_image
from bioseg.images.prepare import Preparation
from bioseg.images.raw_image import RawImage, UnreadableImage, from_pixels
from bioseg.specs import call
from bioseg.types import BiosegError

STAINS = ("DAPI", "FITC", "405", "Cy5")
RNG = np.random.default_rng(0)
FOUR = from_pixels(
    RNG.integers(0, 9000, (12, 15, 4), dtype=np.uint16) * np.array([1, 2, 3, 7], np.uint16), channels=STAINS
)
RGBA = from_pixels(RNG.integers(0, 256, (12, 15, 4), dtype=np.uint8))
GREY = from_pixels(FOUR.pixels[..., 0])


def prepared(raw_image: RawImage, number: int, *select: str | int) -> np.ndarray:
    return prepare.prepare_image(raw_image, Preparation((12, 15), channels=number, select=select))[0]


def alone(raw_image: RawImage, place: int) -> np.ndarray:
    """One channel, prepared as a grey image."""
    return prepared(RawImage(raw_image.pixels[..., place]), 1)[0]


@pytest.mark.parametrize(
    ("wanted", "place"), [("DAPI", 0), ("dapi ", 0), (1, 0), ("2", 1), ("405", 2), (3, 2), (" Cy5", 3), ("4", 3)]
)
def test_one_channel_by_number_or_name(wanted: str | int, place: int) -> None:
    one = channels.select(FOUR, [wanted])
    assert np.array_equal(one.pixels, FOUR.pixels[..., place]) and one.channels == (STAINS[place],)
    assert np.array_equal(prepared(FOUR, 1, wanted)[0], alone(FOUR, place))
    assert np.array_equal(prepared(FOUR, 3, wanted), prepared(RawImage(FOUR.pixels[..., place]), 3))


def test_several_in_the_order_asked_for() -> None:
    done = prepared(FOUR, 2, "Cy5", 1)
    assert np.array_equal(done, np.stack([alone(FOUR, 3), alone(FOUR, 0)]))


def test_each_measured_channel_has_its_own_window() -> None:
    done = prepared(FOUR, 4)
    assert np.array_equal(done, np.stack([alone(FOUR, place) for place in range(4)]))
    assert done.min(axis=(1, 2)).tolist() == [0] * 4 and done.max(axis=(1, 2)).tolist() == [1] * 4
    steps = (call(prepare.percentile_window), call(prepare.clahe, tiles=2))
    how = Preparation((12, 15), channels=4, intensity=steps)
    single = replace(how, channels=1)
    for place, plane in enumerate(prepare.prepare_image(FOUR, how)[0]):
        assert np.array_equal(plane, prepare.prepare_image(RawImage(FOUR.pixels[..., place]), single)[0][0])


def test_rgb_has_one_window_and_alpha_is_left_out_unless_four_are_wanted() -> None:
    dim = RGBA.pixels.copy()
    dim[..., 1] //= 2
    assert prepared(from_pixels(dim), 3)[1].max() < 0.6
    assert np.array_equal(prepared(from_pixels(dim), 3), prepared(from_pixels(dim[..., :3]), 3))
    assert prepared(from_pixels(dim), 4).max(axis=(1, 2)).tolist() == [1] * 4
    assert np.array_equal(prepared(RGBA, 1, "blue")[0], alone(RGBA, 2))
    three = from_pixels(dim[..., :3], channels=("a", "b", "c"))  # measured: as good as RGB for a network of three
    assert prepared(three, 3)[1].max() == 1


def test_grey_is_one_channel() -> None:
    assert np.array_equal(prepared(GREY, 1), prepared(GREY, 1, 1))
    named = replace(GREY, channels=("DAPI",))
    assert np.array_equal(prepared(named, 3, "DAPI"), prepared(GREY, 3))


@pytest.mark.parametrize(
    ("raw_image", "number", "select", "says"),
    [
        (FOUR, 1, (), "4 channels (1 DAPI, 2 FITC, 3 405, 4 Cy5), 1 is wanted; choose with --channel 1 or, in Python"),
        (FOUR, 3, (), "3 are wanted; choose with --channel 1,2,3"),
        (FOUR, 5, (), "5 are wanted; give images that have them"),
        (GREY, 2, (), "1 channel (1), 2 are wanted; give"),
        (RGBA, 2, (), "(1 red, 2 green, 3 blue, 4 alpha), 2 are wanted; choose with --channel 1,2"),
        (FOUR, 1, ("CD3",), "no channel 'CD3'; choose of 1 DAPI, 2 FITC, 3 405, 4 Cy5 with --channel"),
        (FOUR, 1, (5,), "no channel 5; choose of"),
        (GREY, 1, ("2",), "no channel '2'; choose of 1 with"),
    ],
)
def test_what_an_image_does_not_have(
    raw_image: RawImage, number: int, select: tuple[str | int, ...], says: str
) -> None:
    with pytest.raises(BiosegError) as raised:
        prepared(raw_image, number, *select)
    assert says in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(("number", "select"), [(1, (1, 2)), (2, (1,)), (4, (1, 2, 3)), (1, (0,)), (65, ())])
def test_a_preparation_that_contradicts_itself(number: int, select: tuple[int, ...]) -> None:
    with pytest.raises(BiosegError, match=r"preparation\.(select|channels)"):
        Preparation((8, 8), channels=number, select=select)


def test_arrays_of_any_number_of_channels() -> None:
    assert to_raw_image(np.zeros((4, 5, 1))).pixels.shape == (4, 5)
    assert to_raw_image(np.zeros((4, 5, 2))).channels == ("1", "2")
    assert to_raw_image(np.zeros((4, 5, 3))).colour and to_raw_image(np.zeros((4, 5, 4))).colour
    assert to_raw_image(np.zeros((4, 5, 64), bool)).channels[-1] == "64"
    for names in (("a", "b"), ()):
        with pytest.raises(UnreadableImage, match=r"5 channels"):
            RawImage(np.zeros((4, 5, 5)), channels=names)


@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 2), (6, 7, 3), (6, 7, 5)])
def test_what_is_shown_is_grey_or_rgb(shape: tuple[int, ...]) -> None:
    unit = np.random.default_rng(1).random(shape, np.float32)
    shown = channels.to_show(unit)
    assert shown.shape in ((6, 7), (6, 7, 3))
    assert shown.max() == unit.max()
