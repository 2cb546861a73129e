"""Measurements of lungs and of the left ventricle in one image, as a clinician expects them.

Lengths are of pixels from outer edge to outer edge: an object of one pixel is one pixel wide. Each has a column in px, and one
in mm or mm² that is empty where nothing says how large a pixel is.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from bioseg.outputs.place import Place
from bioseg.outputs.sides import split_sides, thorax_line
from bioseg.outputs.structures import LEFT_LUNG, LEFT_VENTRICLE, LUNG, RIGHT_LUNG, Structure
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

COLUMNS = {LUNG.name: LUNGS, LEFT_VENTRICLE.name: VENTRICLE}
"""What is measured, by the name of the model's structure; of other structures nothing."""

NO_SPACING = "no PixelSpacing or ImagerPixelSpacing: px only"


def columns_of(structure: Structure) -> tuple[str, ...]:
    """The columns after ``file``; empty for a structure that is not measured."""
    own = COLUMNS.get(structure.name)
    return (*PLACE, *own, "note") if own else ()


def measure_image(structure: Structure, mask: Mask, place: Place) -> Measures:
    """The values of :func:`columns_of`.

    Args:
        structure: Lungs or left ventricle.
        mask: [rows, cols].
        place: Where the image lies.
    """
    masks, note = masks_by_side(structure, mask, place)
    return measure_masks(structure, masks, place, note)


def masks_by_side(structure: Structure, mask: Mask, place: Place) -> tuple[dict[str, Mask], str]:
    """Masks by the name of what they show, and a note.

    They are right and left lung where the structure is lungs and the image has sides, else one mask.
    """
    if structure != LUNG:
        return {structure.name: mask}, ""
    if place.hanging.right_first is None:
        return {structure.name: mask}, f"no left or right in this plane ({place.hanging.source})"
    sides = split_sides(mask, place.hanging)
    return {RIGHT_LUNG.name: sides.right, LEFT_LUNG.name: sides.left}, sides.note


def measure_masks(structure: Structure, masks: Mapping[str, Mask], place: Place, note: str = "") -> Measures:
    """The values of :func:`columns_of` for masks by name, of :func:`masks_by_side` or of a model with these classes."""
    if {RIGHT_LUNG.name, LEFT_LUNG.name} <= masks.keys():
        found = measure_lungs(masks[RIGHT_LUNG.name], masks[LEFT_LUNG.name], place)
    else:
        found = measure_whole(masks[structure.name], place)
    notes = "; ".join(filter(None, (note, "" if place.spacing_mm else NO_SPACING)))
    return {**_where(place), **{name: found.get(name, "") for name in COLUMNS[structure.name]}, "note": notes}


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
