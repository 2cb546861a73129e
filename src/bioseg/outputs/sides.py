"""The two lungs of one mask told apart: which pixels are the patient's right lung, which the left."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from skimage.measure import label, regionprops

from bioseg.outputs.dicom_header import numbers
from bioseg.types import Mask

ASSUMED = "assumed: the patient's left is at the right of the image"

SECOND = 0.1
"""A component of at least this share of the largest one's area can be the other lung."""

NECK = 0.7
"""Touching lungs meet in columns with less than this share of the pixels of either lung's fullest column."""


@dataclass(frozen=True)
class Hanging:
    """How the patient lies in an image.

    Attributes:
        right_first: Whether the patient's right is at the left of the image, as in a PA or AP view on a screen; None: the
            columns run along another axis, as in a lateral view.
        source: What says so.
    """

    right_first: bool | None = True
    source: str = ASSUMED


AS_SEEN = Hanging()


@dataclass(frozen=True, eq=False)
class Sides:
    """The lungs of one image.

    Attributes:
        right: The patient's right lung [rows, cols]; empty where there is none.
        left: The patient's left lung, on the same grid.
        note: What a reader should know of the division; empty: two lungs apart.
    """

    right: Mask
    left: Mask
    note: str = ""


def hanging_in(header: Dataset) -> Hanging:
    """How the patient lies in a DICOM image.

    By ImageOrientationPatient, else PatientOrientation, else as in a PA or AP view.
    """
    axes = numbers(header, "ImageOrientationPatient", 6)
    if axes is not None and any(axes):
        across = np.array(axes[:3])
        sideways = abs(across[0]) >= max(abs(across))
        return Hanging(bool(across[0] > 0) if sideways else None, "ImageOrientationPatient")
    try:
        towards = str(header.PatientOrientation[0])[:1].upper()
    except Exception:  # missing, empty, or of another type
        return AS_SEEN
    if towards not in tuple("LRAPHF"):
        return AS_SEEN
    return Hanging({"L": True, "R": False}.get(towards), "PatientOrientation")


def split_sides(mask: Mask, hanging: Hanging = AS_SEEN) -> Sides:
    """Divide a mask of both lungs into the patient's right and left.

    Components belong to the side of the dividing column on which their centre lies. That column is the middle between two
    large components side by side; in one component that is two touching lungs, its narrowest column; else the middle of the
    image.

    Args:
        mask: [rows, cols], both lungs.
        hanging: How the patient lies in the image.

    Returns:
        Two masks whose union is ``mask`` and that share no pixel.

    Raises:
        ValueError: The image's columns do not run from one side of the patient to the other.
    """
    if hanging.right_first is None:
        raise ValueError("the columns of the image do not run across the patient, so there is no left or right in it")
    components = np.asarray(label(mask), np.int32)
    parts = sorted(regionprops(components), key=lambda part: -part.area)
    if not parts:
        return Sides(mask.copy(), mask.copy(), "no lung")
    middle, note, cut = _middle(parts, mask.shape[1])
    on_left = np.zeros(len(parts) + 1, np.bool_)
    for part in parts:
        on_left[part.label] = part.centroid[1] < middle
    first = on_left[components]
    if cut:
        first = np.where(components == parts[0].label, np.arange(mask.shape[1]) < middle, first)
    first &= mask
    second = mask & ~first
    if not (first.any() and second.any()):
        note = "one lung only: its side follows from its place in the image"
    return Sides(first, second, note) if hanging.right_first else Sides(second, first, note)


def thorax_line(right: Mask, left: Mask) -> tuple[int, int, int] | None:
    """(row, first column, last column) of the longest horizontal line from the outer edge of one lung to that of the other.

    None where no row holds both lungs.
    """
    rows = np.flatnonzero(right.any(axis=1) & left.any(axis=1))
    if not len(rows):
        return None
    both = (right | left)[rows]
    first, last = both.argmax(axis=1), both.shape[1] - 1 - both[:, ::-1].argmax(axis=1)
    longest = int((last - first).argmax())
    return int(rows[longest]), int(first[longest]), int(last[longest])


def _middle(parts: list[Any], cols: int) -> tuple[float, str, bool]:
    """The column that divides the lungs, a note, and whether the largest component is cut there."""
    largest, *others = parts
    for other in others:
        if other.area >= SECOND * largest.area and _side_by_side(largest, other):
            return (largest.centroid[1] + other.centroid[1]) / 2, "", False
    if column := _neck(largest.image.sum(axis=0)):
        column += largest.bbox[1]
        return column, f"the lungs touch: divided at column {column}", True
    return (cols - 1) / 2, "", False


def _side_by_side(one: Any, other: Any) -> bool:
    """Whether two components share less than half the columns of the narrower one."""
    (_, first, _, end), (_, other_first, _, other_end) = one.bbox, other.bbox
    narrower = min(end - first, other_end - other_first)
    return bool(min(end, other_end) - max(first, other_first) < narrower / 2)


def _neck(heights: NDArray[np.intp]) -> int:
    """The first column right of the narrowest place in the middle half of a component; 0 where it has no neck.

    Args:
        heights: Pixels in each of its columns.
    """
    quarter = len(heights) // 4
    inner = heights[quarter : len(heights) - quarter]
    if len(inner) < 2:
        return 0
    narrowest = np.flatnonzero(inner == inner.min())
    column = quarter + int(narrowest[len(narrowest) // 2])
    fullest = min(heights[:column].max(initial=0), heights[column + 1 :].max(initial=0))
    return column if heights[column] < NECK * fullest else 0
