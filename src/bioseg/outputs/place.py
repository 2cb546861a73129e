"""Where an image lies: its series, its slice, its moment, the size of a pixel, and which side is the patient's left."""

from dataclasses import dataclass, replace

import numpy as np
from pydicom import Dataset

from bioseg.images.formats import RawImage
from bioseg.outputs.dicom_header import number, numbers, read_header, spacing_in
from bioseg.outputs.names import printable
from bioseg.outputs.sides import AS_SEEN, Hanging, hanging_in
from bioseg.types import Case


@dataclass(frozen=True)
class Place:
    """Of one image, as far as its file says.

    Attributes:
        series: SeriesInstanceUID, or the path of a volume; empty: unknown.
        plane: Direction cosines of its rows and columns, rounded; slices of one stack have them in common.
        position_mm: Along the normal of the plane; None: unknown.
        position_from: The DICOM element that says so, or the file's slices.
        trigger_time_ms: Within the heart cycle; None: unknown.
        instance: InstanceNumber; None: unknown.
        spacing_mm: Distance between pixel centres (rows, cols); None: unknown.
        spacing_from: What says so; empty: nothing.
        hanging: How the patient lies in it.
    """

    series: str = ""
    plane: str = ""
    position_mm: float | None = None
    position_from: str = ""
    trigger_time_ms: float | None = None
    instance: float | None = None
    spacing_mm: tuple[float, float] | None = None
    spacing_from: str = ""
    hanging: Hanging = AS_SEEN


def place_of(case: Case, raw_image: RawImage) -> Place:
    """Where an image lies: by its DICOM header, or by its number among the slices of a volume; else its spacing at most."""
    header, spacing_mm = read_header(case.image), raw_image.spacing_mm
    if header is not None:
        place = place_in(header)
        many = case.plane is not None and not place.spacing_mm  # an enhanced header says it of each frame
        return replace(place, spacing_mm=spacing_mm, spacing_from=raw_image.spacing_from) if many else place
    place = Place(spacing_mm=spacing_mm, spacing_from=raw_image.spacing_from)
    if case.plane is None or not raw_image.slice_spacing_mm:
        return place
    position_mm = round(case.plane * raw_image.slice_spacing_mm, 3)
    return replace(place, series=printable(case.path), position_mm=position_mm, position_from="the file's slices")


def place_in(header: Dataset) -> Place:
    """Where the image of a DICOM header lies.

    The position is ImagePositionPatient along the slice's normal, else SliceLocation, which scanners define as they like.
    """
    axes, corner = numbers(header, "ImageOrientationPatient", 6), numbers(header, "ImagePositionPatient", 3)
    spacing_mm, spacing_from = spacing_in(header)
    position, position_from, plane = number(header, "SliceLocation"), "SliceLocation", ""
    if axes is not None:
        plane = " ".join(f"{round(value, 3) + 0.0:g}" for value in axes)
        normal = np.cross(axes[:3], axes[3:])
        if corner is not None and np.linalg.norm(normal):
            position, position_from = float(normal @ corner / np.linalg.norm(normal)), "ImagePositionPatient"
    return Place(
        _uid(header),
        plane,
        None if position is None else round(position, 3) + 0.0,
        "" if position is None else position_from,
        number(header, "TriggerTime"),
        number(header, "InstanceNumber"),
        spacing_mm,
        spacing_from,
        hanging_in(header),
    )


def _uid(header: Dataset) -> str:
    try:
        return str(header.SeriesInstanceUID or "")
    except Exception:  # missing or damaged
        return ""
