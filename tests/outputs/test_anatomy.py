"""Measures of shapes whose areas, lengths and volumes are known, and which lung is which."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from bioseg.outputs.anatomy import columns_of, measure_image
from bioseg.outputs.place import Place, place_in
from bioseg.outputs.sides import ASSUMED, Hanging, hanging_in, split_sides, thorax_line
from bioseg.outputs.structures import LEFT_VENTRICLE, LUNG
from bioseg.types import Mask

SHAPE = (200, 240)
SPACING = (0.5, 0.8)
KNOWN = Place(spacing_mm=SPACING, spacing_from="PixelSpacing")


def ellipse(row: float, col: float, height: float, width: float, shape: tuple[int, int] = SHAPE) -> Mask:
    """Diameters in px."""
    rows, cols = np.indices(shape)
    return np.asarray(((rows - row) / height * 2) ** 2 + ((cols - col) / width * 2) ** 2 <= 1)


RIGHT, LEFT = ellipse(100, 60, 120, 60), ellipse(90, 170, 100, 50)


def test_lungs_of_two_ellipses() -> None:
    found = measure_image(LUNG, {"lung": RIGHT | LEFT}, KNOWN)
    pixel = math.prod(SPACING)
    assert found["right_area_px"] == RIGHT.sum() and found["left_area_px"] == LEFT.sum()
    assert found["right_area_mm2"] == pytest.approx(math.pi / 4 * 120 * 60 * pixel, rel=0.005)
    assert found["left_area_mm2"] == pytest.approx(math.pi / 4 * 100 * 50 * pixel, rel=0.005)
    assert (found["right_width_px"], found["right_height_px"]) == (61, 121)  # ends at pixels' centres
    assert (found["left_width_mm"], found["left_height_mm"]) == (round(51 * 0.8, 3), round(101 * 0.5, 3))
    assert found["left_to_right_area"] == pytest.approx(100 * 50 / (120 * 60), abs=0.003)
    line = thorax_line(RIGHT, LEFT)
    assert line is not None and 90 <= line[0] <= 100  # between the widest rows of both
    assert found["thorax_width_px"] == line[2] - line[1] + 1 == pytest.approx(195 - 30, abs=1)
    assert found["thorax_width_mm"] == round(found["thorax_width_px"] * 0.8, 3)
    both = (RIGHT | LEFT).sum()
    assert found["area_per_thorax_width_mm"] == pytest.approx(both * pixel / found["thorax_width_mm"], abs=0.001)
    assert found["sides_from"] == ASSUMED and found["note"] == ""


def test_classes_give_the_sides_and_the_heart_its_ratio() -> None:
    heart = ellipse(130, 120, 60, 80)
    masks = {"left lung": RIGHT, "right lung": LEFT, "heart": heart}  # mirrored: the classes are believed
    found = measure_image(LUNG, masks, KNOWN)
    assert found["left_area_px"] == RIGHT.sum() and found["sides_from"] == "the model's classes"
    assert (found["heart_width_px"], found["heart_area_px"]) == (81, heart.sum())
    assert found["cardiothoracic_ratio"] == pytest.approx(81 / int(found["thorax_width_px"]), abs=1e-4)
    assert columns_of(LUNG, list(masks)) == tuple(found)
    both = measure_image(LUNG, {"lung": RIGHT | LEFT, "heart": heart}, KNOWN)
    assert both["right_area_px"] == RIGHT.sum() and tuple(both) == tuple(found)
    cavity = {"left ventricle": RIGHT, "myocardium": LEFT}
    assert measure_image(LEFT_VENTRICLE, cavity, KNOWN)["area_px"] == RIGHT.sum()
    assert columns_of(LUNG, ["right lung", "heart"]) == columns_of(LEFT_VENTRICLE, ["myocardium"]) == ()


def test_without_spacing_there_are_pixels_and_a_reason() -> None:
    found = measure_image(LUNG, {"lung": RIGHT | LEFT}, Place())
    assert {name for name, value in found.items() if name.endswith(("_mm", "_mm2")) and value != ""} == set()
    assert found["right_area_px"] == RIGHT.sum() and found["note"] == "no PixelSpacing or ImagerPixelSpacing: px only"
    assert measure_image(LEFT_VENTRICLE, {"left ventricle": RIGHT}, Place())["area_mm2"] == ""


def test_a_ventricle_is_an_ellipse_with_a_mean_diameter() -> None:
    found = measure_image(LEFT_VENTRICLE, {"left ventricle": ellipse(100, 100, 80, 50)}, KNOWN)
    assert found["area_mm2"] == pytest.approx(math.pi / 4 * 40 * 40, rel=0.005)  # 80 × .5 mm by 50 × .8 mm: a circle
    assert found["mean_diameter_mm"] == pytest.approx(40, rel=0.003)
    assert found["mean_diameter_px"] == pytest.approx(math.sqrt(80 * 50), rel=0.003)
    empty = measure_image(LEFT_VENTRICLE, {"left ventricle": np.zeros(SHAPE, np.bool_)}, KNOWN)
    assert (empty["area_px"], empty["mean_diameter_mm"]) == (0, 0)


@pytest.mark.parametrize("right_first", [True, False])
def test_sides_follow_from_how_the_patient_lies(right_first: bool) -> None:
    sides = split_sides(RIGHT | LEFT, Hanging(right_first, "PatientOrientation"))
    at_left, at_right = (sides.right, sides.left) if right_first else (sides.left, sides.right)
    assert (at_left == RIGHT).all() and (at_right == LEFT).all() and sides.note == ""


def test_touching_lungs_are_divided_at_the_neck() -> None:
    bridge = np.zeros(SHAPE, np.bool_)
    bridge[80:90, 80:150] = True
    sides = split_sides(RIGHT | LEFT | bridge)
    assert (sides.right & LEFT).sum() == (sides.left & RIGHT).sum() == 0
    assert sides.note.startswith("the lungs touch: divided at column 1")
    overlapping = ellipse(100, 85, 120, 60), ellipse(100, 135, 120, 60)
    sides = split_sides(overlapping[0] | overlapping[1])
    assert abs(int(sides.right.sum()) - int(sides.left.sum())) < 130 and "the lungs touch" in sides.note


def test_parts_of_a_lung_belong_to_its_side() -> None:
    fissure = RIGHT.copy()
    fissure[100:103] = False
    speck = np.zeros(SHAPE, np.bool_)
    speck[20:22, 200:202] = True
    sides = split_sides(fissure | LEFT | speck)
    assert (sides.right == fissure).all() and (sides.left == LEFT | speck).all()


@pytest.mark.parametrize(("lung", "side"), [(RIGHT, "right"), (LEFT, "left")])
def test_one_lung_is_named_by_its_place_and_flagged(lung: Mask, side: str) -> None:
    found = measure_image(LUNG, {"lung": lung}, KNOWN)
    other = {"right": "left", "left": "right"}[side]
    assert (found[f"{side}_area_px"], found[f"{other}_area_px"]) == (lung.sum(), 0)
    assert found["thorax_width_px"] == found["left_to_right_area"] == ""
    assert str(found["note"]).startswith("one lung only")
    assert measure_image(LUNG, {"lung": np.zeros(SHAPE, np.bool_)}, KNOWN)["note"] == "no lung"


def test_a_plane_without_sides_has_an_area_only() -> None:
    place = Place(spacing_mm=SPACING, hanging=Hanging(None, "PatientOrientation"))
    found = measure_image(LUNG, {"lung": RIGHT | LEFT}, place)
    assert found["area_px"] == (RIGHT | LEFT).sum() and found["right_area_px"] == found["thorax_width_mm"] == ""
    assert found["note"] == "no left or right in this plane (PatientOrientation)"
    with pytest.raises(ValueError, match="do not run across the patient"):
        split_sides(RIGHT, place.hanging)


@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.98))
def test_every_pixel_is_of_one_side(seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((13, 17)) < share
    sides = split_sides(mask)
    assert ((sides.right | sides.left) == mask).all() and not (sides.right & sides.left).any()


def header(**elements: object) -> Dataset:
    found = Dataset()
    for keyword, value in elements.items():
        setattr(found, keyword, value)
    return found


@pytest.mark.parametrize(
    ("elements", "right_first", "source"),
    [
        ({}, True, ASSUMED),
        ({"PatientOrientation": ["L", "F"]}, True, "PatientOrientation"),
        ({"PatientOrientation": ["R", "F"]}, False, "PatientOrientation"),
        ({"PatientOrientation": ["A", "F"]}, None, "PatientOrientation"),
        ({"PatientOrientation": None}, True, ASSUMED),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PatientOrientation": ["R", "F"]}, True, "ImageOrientationPatient"),
        ({"ImageOrientationPatient": [-1, 0, 0, 0, -1, 0]}, False, "ImageOrientationPatient"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, None, "ImageOrientationPatient"),
    ],
)  # fmt: skip
def test_headers_say_how_the_patient_lies(elements: dict[str, object], right_first: bool | None, source: str) -> None:
    assert hanging_in(header(**elements)) == Hanging(right_first, source)


@pytest.mark.parametrize(
    ("elements", "spacing_mm", "source"),
    [
        ({"PixelSpacing": [0.5, 0.8]}, (0.5, 0.8), "PixelSpacing"),
        ({"ImagerPixelSpacing": [0.1, 0.1]}, (0.1, 0.1), "ImagerPixelSpacing: at the detector, magnified"),
        ({"PixelSpacing": [0.1, 0.1], "ImagerPixelSpacing": [0.1, 0.1]}, (0.1, 0.1), "PixelSpacing: at the detector, magnified"),
        ({"PixelSpacing": [0.09, 0.09], "ImagerPixelSpacing": [0.1, 0.1]}, (0.09, 0.09), "PixelSpacing"),
        ({"PixelSpacing": [0, 0.1]}, None, ""),
        ({}, None, ""),
    ],
)  # fmt: skip
def test_it_says_where_the_spacing_comes_from(elements: dict[str, object], spacing_mm: object, source: str) -> None:
    place = place_in(header(**elements))
    assert (place.spacing_mm, place.spacing_from) == (spacing_mm, source)


def test_positions_are_along_the_normal_of_an_oblique_slice() -> None:
    axes = [0.8, 0.6, 0, 0, 0, -1]  # normal (−.6, .8, 0)
    places = [
        place_in(header(ImageOrientationPatient=axes, ImagePositionPatient=[-6 * n, 8 * n, 0], SliceLocation=7 * n))
        for n in range(2)
    ]
    assert [place.position_mm for place in places] == [0, 10]
    assert {place.position_from for place in places} == {"ImagePositionPatient"} and len({p.plane for p in places}) == 1
    assert place_in(header(SliceLocation=7)).position_from == "SliceLocation"
