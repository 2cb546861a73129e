"""What OME-XML, ImageJ and Aperio write into a TIFF beside its pixels: the size of a pixel and the channels' names."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from xml.etree import ElementTree

from bioseg.types import printable

_MM = {
    "m": 1e3, "meter": 1e3, "cm": 10.0, "centimeter": 10.0, "mm": 1.0, "millimeter": 1.0, "um": 1e-3, "micron": 1e-3,
    "microns": 1e-3, "micrometer": 1e-3, "nm": 1e-6, "nanometer": 1e-6, "å": 1e-7, "angstrom": 1e-7, "pm": 1e-9,
}  # fmt: skip
"""Units in mm. ImageJ's ``inch`` is left out: it stems from the dots per inch of paper."""

_NAME_LENGTH = 60


@dataclass(frozen=True)
class Metadata:
    """What stands beside the pixels; empty where nothing does.

    Attributes:
        spacing_mm: Distance between pixel centres (rows, cols), mm.
        spacing_from: Who says so.
        channels: Names, one per channel.
        pages: How many the file should have.
    """

    spacing_mm: tuple[float, float] | None = None
    spacing_from: str = ""
    channels: tuple[str, ...] = ()
    pages: int = 0


def read_metadata(tiff: Any) -> Metadata:
    """The metadata of an open ``TiffFile``. The resolution of a plain TIFF describes paper and is ignored."""
    if tiff.is_ome:
        return _ome(tiff.ome_metadata)
    if tiff.is_imagej:
        return _imagej(tiff.imagej_metadata or {}, tiff.pages[0])
    if tiff.is_svs:
        found = re.search(r"MPP\s*=\s*([\d.]+)", tiff.pages[0].description)
        spacing_mm = _spacing(found[1], found[1], "um", "um") if found else None
        return Metadata(spacing_mm, "SVS" if spacing_mm else "")
    return Metadata()


def enlarged(metadata: Metadata, factor: tuple[float, float]) -> Metadata:
    """For pixels that are so many times larger (rows, cols), as in a level of a pyramid."""
    if metadata.spacing_mm is None:
        return metadata
    rows, cols = metadata.spacing_mm
    return replace(metadata, spacing_mm=(rows * factor[0], cols * factor[1]))


def _ome(xml: str) -> Metadata:
    """The first image's, by the OME schema; sizes without a unit are in µm."""
    try:
        elements = list(ElementTree.fromstring(xml).iter())
    except ElementTree.ParseError:
        return Metadata()
    images = [one for one in elements if _kind(one) == "Pixels"]
    if not images:
        return Metadata()
    get = images[0].attrib.get
    spacing_mm = _spacing(
        get("PhysicalSizeY"), get("PhysicalSizeX"), get("PhysicalSizeYUnit", "um"), get("PhysicalSizeXUnit", "um")
    )
    channels = [one.get("Name") or one.get("Fluor") or "" for one in images[0] if _kind(one) == "Channel"]
    return Metadata(spacing_mm, "OME-TIFF" if spacing_mm else "", _names(channels), sum(map(_pages, images)))


def _pages(pixels: ElementTree.Element) -> int:
    """Of one image: its planes, of which a colour one has several samples."""
    samples = next((one.get("SamplesPerPixel") for one in pixels if _kind(one) == "Channel"), None)
    try:
        channels, slices, times = (int(pixels.get(f"Size{axis}", 1)) for axis in "CZT")
        return channels // int(samples or 1) * slices * times
    except (ValueError, ZeroDivisionError):
        return 0


def _imagej(facts: Mapping[str, Any], page: Any) -> Metadata:
    """The unit stands in the description, pixels per unit in the tags; labels of slices name the channels."""
    unit = str(facts.get("unit", ""))
    cols, rows = (_per_pixel(page.tags.get(name)) for name in ("XResolution", "YResolution"))
    spacing_mm = _spacing(rows, cols, unit, unit)
    count, labels = facts.get("channels", 1), facts.get("Labels", ())
    names = [str(one) for one in labels[:count]] if isinstance(labels, list) and isinstance(count, int) else []
    pages = facts.get("images", 1)
    return Metadata(spacing_mm, "ImageJ" if spacing_mm else "", _names(names), pages if isinstance(pages, int) else 0)


def _kind(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _per_pixel(tag: Any) -> float | None:
    """Units per pixel, of a tag that holds pixels per unit as a fraction."""
    try:
        pixels, unit = tag.value
        return float(unit / pixels)
    except (AttributeError, TypeError, ValueError, ZeroDivisionError):
        return None


def _spacing(rows: Any, cols: Any, rows_unit: str, cols_unit: str) -> tuple[float, float] | None:
    """In mm; None where a value is no positive number or a unit is no length."""
    try:
        spacing_mm = float(rows) * _MM[_plain(rows_unit)], float(cols) * _MM[_plain(cols_unit)]
    except (TypeError, ValueError, KeyError):
        return None
    return spacing_mm if all(math.isfinite(side) and side > 0 for side in spacing_mm) else None


def _plain(unit: str) -> str:
    """``µm``, with either character for micro or as ImageJ escapes it, becomes ``um``."""
    return re.sub("\u00b5|\u03bc|\\\\u00b5", "u", unit.strip().lower())


def _names(found: list[str]) -> tuple[str, ...]:
    """Names that can be printed; none where they do not tell the channels apart."""
    names = tuple(printable(one.strip())[:_NAME_LENGTH] for one in found)
    return names if all(names) and len({one.lower() for one in names}) == len(names) else ()
