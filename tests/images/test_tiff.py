"""Planes, channels and calibration of TIFFs."""

import io
from typing import Any

import numpy as np
import pytest

from bioseg.images import formats, tiff
from bioseg.images.formats import UnreadableImage
from tests.contracts.image_files import GREY, PLANES, imagej, ome, pyramid, slide
from tests.contracts.image_files import tiff as written
from tests.images.test_formats import png_of

FIVE = np.arange(2 * 3 * 4 * 8 * 9, dtype=np.uint16).reshape(2, 3, 4, 8, 9)  # T, Z, C, rows, cols


@pytest.mark.parametrize(
    "how",
    [
        {"ome": True, "photometric": "minisblack"},
        {"ome": True, "photometric": "minisblack", "compression": "zlib"},
        {"imagej": True},
        {"imagej": True, "truncate": True},
        {"photometric": "minisblack"},
    ],
    ids=["OME", "OME, deflate", "ImageJ", "ImageJ, one header", "tifffile"],
)
def test_slices_and_times_are_planes_of_channels(how: dict[str, Any]) -> None:
    header = tiff.open_header(io.BytesIO(written(FIVE, metadata={"axes": "TZCYX"}, **how)))
    assert (header.shape, header.planes) == ((8, 9), 6)
    for plane in range(6):
        raw_image = header.decode(plane)
        assert np.array_equal(raw_image.pixels, np.moveaxis(FIVE.reshape(6, 4, 8, 9)[plane], 0, -1))
        assert raw_image.channels == ("1", "2", "3", "4")


def test_a_volume_and_a_stack_in_colour_have_planes() -> None:
    volume = np.arange(16 * 16 * 32, dtype=np.uint16).reshape(16, 16, 32)
    header = tiff.open_header(io.BytesIO(written(volume, volumetric=True, tile=(16, 16, 16))))
    assert header.planes == 16 and np.array_equal(header.decode(5).pixels, volume[5])
    colour = np.arange(3 * 8 * 9 * 3, dtype=np.uint8).reshape(3, 8, 9, 3)
    header = tiff.open_header(io.BytesIO(imagej(colour, axes="ZYXS")))
    assert header.planes == 3 and np.array_equal(header.decode(2).pixels, colour[2]) and header.decode(2).colour


def test_packed_pages_of_a_stack() -> None:
    from PIL import Image

    file, pages = io.BytesIO(), np.random.default_rng(0).integers(0, 255, (3, 8, 9), dtype=np.uint8)
    first, *others = map(Image.fromarray, pages)
    first.save(file, "TIFF", save_all=True, append_images=others, compression="tiff_lzw")
    header = tiff.open_header(io.BytesIO(file.getvalue()))
    assert [np.array_equal(header.decode(plane).pixels, pages[plane]) for plane in range(header.planes)] == [True] * 3


@pytest.mark.parametrize(
    ("unit", "millimetres"),
    [
        ("um", 1e-3), ("micron", 1e-3), ("microns", 1e-3), ("\\u00B5m", 1e-3), ("nm", 1e-6), ("mm", 1), ("cm", 10),
        ("inch", None), ("pixel", None), ("", None), ("furlong", None),
    ],
)  # fmt: skip
def test_imagej_says_the_unit(unit: str, millimetres: float | None) -> None:
    raw_image = tiff.open_header(io.BytesIO(imagej(FIVE[0, 0], unit=unit))).decode(0)
    assert raw_image.spacing_mm == (millimetres and pytest.approx((0.25 * millimetres, 0.2 * millimetres)))
    assert raw_image.spacing_from == ("ImageJ" if millimetres else "")


@pytest.mark.parametrize(
    ("facts", "spacing_mm"),
    [
        ({"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25}, (0.00025, 0.0005)),
        ({"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "mm", "PhysicalSizeY": 2, "PhysicalSizeYUnit": "cm"}, (20, 0.5)),
        ({"PhysicalSizeX": 5, "PhysicalSizeXUnit": "Å", "PhysicalSizeY": 5, "PhysicalSizeYUnit": "nm"}, (5e-6, 5e-7)),
        ({"PhysicalSizeX": 0.5}, None),
        ({"PhysicalSizeX": 0.5, "PhysicalSizeY": 0}, None),
        ({"PhysicalSizeX": 0.5, "PhysicalSizeY": float("nan")}, None),
        ({"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "pixel"}, None),
    ],
)
def test_ome_says_size_and_unit(facts: dict[str, Any], spacing_mm: tuple[float, float] | None) -> None:
    raw_image = tiff.open_header(io.BytesIO(ome(FIVE[0, 0], **facts))).decode(0)
    assert raw_image.spacing_mm == (spacing_mm and pytest.approx(spacing_mm))
    assert raw_image.spacing_from == ("OME-TIFF" if spacing_mm else "")


def test_dots_per_inch_of_paper_are_ignored() -> None:
    data = written(FIVE[0, 0, 0], resolution=(300, 300), resolutionunit="INCH")
    assert tiff.open_header(io.BytesIO(data)).decode(0).spacing_mm is None


@pytest.mark.parametrize("names", [["a", "b", "a", "c"], ["a", "", "b", "c"], ["a", "b"]])
def test_names_that_do_not_tell_channels_apart_are_numbers(names: list[str]) -> None:
    data = ome(FIVE[0, 0], Channel={"Name": names + [""] * (4 - len(names))})
    assert tiff.open_header(io.BytesIO(data)).decode(0).channels == ("1", "2", "3", "4")


def test_no_other_file_that_ome_xml_names_is_opened(tmp_path: Any) -> None:
    other = tmp_path / "other.ome.tif"
    other.write_bytes(ome(FIVE[0, 0] + 1))
    data = ome(FIVE[0, 0], Description="x" * 200)
    named = f'<UUID FileName="{other}">urn:uuid:1</UUID></TiffData>'.encode()
    start = data.index(b'<TiffData IFD="0" PlaneCount="4"/>')
    end = data.index(b"</OME>") + 6
    xml = data[start:end].replace(b'<TiffData IFD="0" PlaneCount="4"/>', b'<TiffData IFD="0" PlaneCount="4">' + named)
    short = xml.replace(b"x" * 200, b"x" * (200 - len(named)))
    header = tiff.open_header(io.BytesIO(data[:start] + short.ljust(end - start) + data[end:]))
    assert np.array_equal(
        header.decode(0).pixels[..., 0] if header.planes == 1 else header.decode(0).pixels, FIVE[0, 0, 0]
    )


def test_levels_of_a_pyramid() -> None:
    for data, expected in ((pyramid(), PLANES[::2, ::2, :2]), (slide(), None)):
        assert formats.size(data) == PLANES.shape[:2] and formats.size(data, level=1) == (12, 19)
        raw_image = formats.read(data, level=1)
        assert expected is None or np.array_equal(raw_image.pixels, expected)
        if expected is None:
            assert raw_image.spacing_mm == pytest.approx((0.0005 * 23 / 12, 0.0005 * 37 / 19))
        with pytest.raises(UnreadableImage, match=r"23×37 is more than 600 pixels; give --level 1 \(12×19\)"):
            formats.read(data, max_pixels=600)
        with pytest.raises(UnreadableImage, match=r"23×37 is more than 200 pixels; shrink it"):
            formats.read(data, max_pixels=200)
        with pytest.raises(
            UnreadableImage, match=r"level 2 is asked for, but it has 2, from 0; choose another --level"
        ):
            formats.read(data, level=2)
    with pytest.raises(UnreadableImage, match=r"level 1 is asked for, but it is no pyramid; leave --level out"):
        formats.read(png_of(GREY), level=1)
