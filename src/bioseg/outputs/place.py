"""Where an image lies: its series, its slice, its moment, the size of a pixel, and which side is the patient's left."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset

from bioseg.images.formats import RawImage
from bioseg.outputs.dicom_header import number, numbers, read_header, spacing_in
from bioseg.outputs.sides import AS_SEEN, Hanging, hanging_in


@dataclass(frozen=True)
class Place:
    """Of one image, as far as its file says.

    Attributes:
        series: SeriesInstanceUID; empty: unknown.
        plane: Direction cosines of its rows and columns, rounded; slices of one stack have them in common.
        position_mm: Along the normal of the plane; None: unknown.
        position_from: The DICOM element that says so.
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


def place_of(source: Path | bytes, raw_image: RawImage) -> Place:
    """Where an image lies, by its DICOM header; of another file the spacing alone is known, or nothing."""
    header = read_header(source)
    if header is None:
        spacing_mm = raw_image.spacing_mm
        return Place(spacing_mm=spacing_mm, spacing_from="the file's calibration" if spacing_mm else "")
    return place_in(header)


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
