"""Measurements of lungs and of the left ventricle in one image, as a clinician expects them.

Lengths are of pixels from outer edge to outer edge: an object of one pixel is one pixel wide. Each has a column in px, and one
in mm or mm² that is empty where nothing says how large a pixel is.
"""

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from bioseg.outputs.place import Place
from bioseg.outputs.sides import split_sides, thorax_line
from bioseg.outputs.structures import HEART, LEFT_LUNG, LEFT_VENTRICLE, LUNG, RIGHT_LUNG, Structure
from bioseg.types import Mask

Measures = dict[str, float | str]
"""Values by column; "" where one is unknown."""

PLACE = (
    "series", "plane", "slice_position_mm", "slice_position_from", "trigger_time_ms", "instance", "spacing_row_mm",
    "spacing_col_mm", "spacing_from",
)  # fmt: skip

_SIDED = tuple(f"{side}_{what}" for what in ("area", "width", "height") for side in ("right", "left"))
LUNGS = (
    "sides_from", *(f"{name}_px" for name in ("area", *_SIDED, "thorax_width", "area_per_thorax_width")), "left_to_right_area",
    "area_mm2", "right_area_mm2", "left_area_mm2", *(f"{name}_mm" for name in _SIDED[2:]), "thorax_width_mm",
    "area_per_thorax_width_mm",
)  # fmt: skip
VENTRICLE = ("area_px", "mean_diameter_px", "area_mm2", "mean_diameter_mm")

HEART_COLUMNS = (
    "heart_area_px", "heart_width_px", "cardiothoracic_ratio", "heart_area_mm2", "heart_width_mm",
)  # fmt: skip
"""Of a model that has the heart as a class."""

BOTH = frozenset({RIGHT_LUNG.name, LEFT_LUNG.name})

COLUMNS = {LUNG.name: LUNGS, LEFT_VENTRICLE.name: VENTRICLE}
"""What is measured, by the name of the model's structure; of other structures nothing."""

NO_SPACING = "no PixelSpacing or ImagerPixelSpacing: px only"


def columns_of(structure: Structure, names: Collection[str] = ()) -> tuple[str, ...]:
    """The columns after ``file``; empty for what is not measured.

    Args:
        structure: What the model segments.
        names: Of its classes, as :func:`bioseg.outputs.structures.structure_named` calls them; empty: one class.
    """
    own = COLUMNS.get(structure.name)
    if own is None or (names and structure.name not in names and not set(names) >= BOTH):
        return ()
    return (*PLACE, *own, *(HEART_COLUMNS if structure == LUNG and HEART.name in names else ()), "note")


def measure_image(structure: Structure, masks: Mapping[str, Mask], place: Place) -> Measures:
    """The values of :func:`columns_of`.

    Args:
        structure: Lungs or left ventricle.
        masks: [rows, cols] by the name of what each shows: the structure, or classes.
        place: Where the image lies.
    """
    sides, note = divided(masks, place)
    found = measure_masks(structure, sides, place, note)
    return found | {"sides_from": "the model's classes"} if masks.keys() >= BOTH else found


def divided(masks: Mapping[str, Mask], place: Place) -> tuple[dict[str, Mask], str]:
    """The same masks with right and left lung in place of the mask of both, where the image has sides; and a note."""
    if LUNG.name not in masks:
        return dict(masks), ""
    if place.hanging.right_first is None:
        return dict(masks), f"no left or right in this plane ({place.hanging.source})"
    sides = split_sides(masks[LUNG.name], place.hanging)
    rest = {name: mask for name, mask in masks.items() if name != LUNG.name}
    return {RIGHT_LUNG.name: sides.right, LEFT_LUNG.name: sides.left, **rest}, sides.note


def measure_masks(structure: Structure, masks: Mapping[str, Mask], place: Place, note: str = "") -> Measures:
    """The values of :func:`columns_of` for masks that are divided already."""
    found: Measures = {}
    if masks.keys() >= BOTH:
        found = measure_lungs(masks[RIGHT_LUNG.name], masks[LEFT_LUNG.name], place)
    elif structure.name in masks:
        found = measure_whole(masks[structure.name], place)
    if structure == LUNG and HEART.name in masks:
        found |= {f"heart_{name}": value for name, value in _extent(masks[HEART.name], place).items()}
        if width := found.get("thorax_width_px"):
            found["cardiothoracic_ratio"] = round(float(found["heart_width_px"]) / float(width), 4)
    notes = "; ".join(filter(None, (note, "" if place.spacing_mm else NO_SPACING)))
    own = [name for name in columns_of(structure, masks.keys()) if name not in (*PLACE, "note")]
    return {**_where(place), **{name: found.get(name, "") for name in own}, "note": notes}


def measure_mask(structure: Structure, mask: Mask, place: Place) -> Measures:
    """Of one lung area, width and height, of all else area and mean diameter."""
    return _extent(mask, place) if LUNG.type == structure.type else measure_whole(mask, place)


def measure_lungs(right: Mask, left: Mask, place: Place) -> Measures:
    """Area, width and height of each lung, their ratio, and the thorax width.

    The thorax width is that of the longest horizontal line from the outer edge of one lung to the outer edge of the other, the
    internal diameter of the thorax in the cardiothoracic ratio. ``area_per_thorax_width`` is the area of both lungs over it.
    """
    found: Measures = {"sides_from": place.hanging.source}
    for side, mask in (("right", right), ("left", left)):
        found |= {f"{side}_{name}": value for name, value in _extent(mask, place).items()}
    pixels = int(right.sum() + left.sum())
    found |= _area(pixels, place)
    if right.any() and left.any():
        found["left_to_right_area"] = round(float(left.sum() / right.sum()), 4)
    if line := thorax_line(right, left):
        width = line[2] - line[1] + 1
        found |= {"thorax_width_px": width, "area_per_thorax_width_px": round(pixels / width, 3)}
        if place.spacing_mm:
            rows, cols = place.spacing_mm
            found |= {
                "thorax_width_mm": round(width * cols, 3),
                "area_per_thorax_width_mm": round(pixels * rows / width, 3),
            }
    return found


def measure_whole(mask: Mask, place: Place) -> Measures:
    """Area and mean diameter, the diameter of the circle of that area."""
    found = _area(int(mask.sum()), place)
    found["mean_diameter_px"] = round(2 * math.sqrt(mask.sum() / math.pi), 3)
    if place.spacing_mm:
        found["mean_diameter_mm"] = round(2 * math.sqrt(mask.sum() * math.prod(place.spacing_mm) / math.pi), 3)
    return found


def _area(pixels: int, place: Place) -> Measures:
    found: Measures = {"area_px": pixels}
    if place.spacing_mm:
        found["area_mm2"] = round(pixels * math.prod(place.spacing_mm), 3)
    return found


def _extent(mask: Mask, place: Place) -> Measures:
    """Area, width and height; without a single pixel all are 0."""
    found = _area(int(mask.sum()), place)
    width, height = (_span(np.any(mask, axis=axis)) for axis in (0, 1))
    found |= {"width_px": width, "height_px": height}
    if place.spacing_mm:
        rows, cols = place.spacing_mm
        found |= {"width_mm": round(width * cols, 3), "height_mm": round(height * rows, 3)}
    return found


def _span(there: Any) -> int:
    """From the first to the last that is True, both counted."""
    places = np.flatnonzero(there)
    return int(places[-1] - places[0] + 1) if len(places) else 0


def _where(place: Place) -> Measures:
    rows, cols = place.spacing_mm or ("", "")
    values = (
        place.series, place.plane, place.position_mm, place.position_from, place.trigger_time_ms, place.instance, rows,
        cols, place.spacing_from,
    )  # fmt: skip
    return {name: "" if value is None else value for name, value in zip(PLACE, values, strict=True)}
