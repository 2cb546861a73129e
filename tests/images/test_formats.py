"""What :mod:`bioseg.images.formats` does besides reading every kind of file (that is in contracts/test_readers.py)."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from bioseg.images import formats, png
from bioseg.types import BiosegError
from tests.contracts.image_files import FLOAT, GREY, KINDS, SIGNED, dicom, lzw_tiff, tiff


def png_of(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()


SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(mask=arrays(np.bool_, SHAPES))
def test_a_mask_comes_back_as_it_was_written(mask: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("masks") / "new folder" / "mask.png"
    png.write_mask(path, mask)
    raw_image = formats.read(path)
    assert raw_image.pixels.dtype == np.uint8
    assert np.array_equal(raw_image.pixels, mask * np.uint8(255))
    assert [file.name for file in path.parent.iterdir()] == ["mask.png"]


@given(probability=arrays(np.float32, SHAPES, elements=st.floats(0, 1, width=32)))
def test_a_probability_comes_back_to_16_bits(probability: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("probabilities") / "p.png"
    png.write_probability(path, probability)
    raw_image = formats.read(path)
    assert raw_image.pixels.dtype == np.uint16
    assert raw_image.white == 65535
    assert np.abs(raw_image.pixels / 65535 - probability).max() <= 0.51 / 65535  # half a step, and single precision


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mask.png"
    png.write_mask(path, np.ones((4, 5), bool))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BiosegError, match=r"mask\.png: the disk is full; "):
        png.write_mask(path, np.zeros((4, 5), bool))
    assert formats.read(path).pixels.all()
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_lies_as_every_viewer_shows_it(orientation: int, tmp_path: Path) -> None:
    upright = np.add.outer(np.arange(24) * 6, np.arange(40) * 2).astype(np.uint8)
    undo = {  # what the tag tells a viewer to do, done backwards; EXIF 2.32, 4.6.4
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: np.transpose,
        6: np.rot90,
        7: lambda a: np.rot90(a, 2).T,
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.jpg"
    Image.fromarray(np.ascontiguousarray(undo(upright))).save(path, quality=98, exif=exif)
    assert formats.size(path) == (24, 40)
    assert np.abs(formats.read(path).pixels.astype(int) - upright).max() <= 4


def test_a_pyramid_is_one_image(tmp_path: Path) -> None:
    whole = np.arange(64 * 96, dtype=np.uint16).reshape(64, 96)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(whole, metadata=None)
        file.write(whole[::2, ::2], subfiletype=1, metadata=None)
        file.write(np.zeros((9, 7, 3), np.uint8), subfiletype=1, metadata=None, photometric="rgb")
    assert np.array_equal(formats.read(tmp_path / "a.tif").pixels, whole)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_packed_tiff_is_read_exactly_or_refused(dtype: type, channels: int, tmp_path: Path) -> None:
    size = np.dtype(dtype).itemsize
    expected = np.random.default_rng(0).integers(0, 256, (9, 8, channels * size), dtype=np.uint8).view(dtype)
    path = tmp_path / "a.tif"
    path.write_bytes(lzw_tiff(expected))
    if channels * size == 6:
        with pytest.raises(
            formats.UnreadableImage, match=r"a\.tif: TIFF of u?int16 with LZW compression is not supported; save it"
        ):
            formats.read(path)
    else:
        raw_image = formats.read(path)
        assert raw_image.pixels.dtype == dtype
        assert np.array_equal(raw_image.pixels, expected.squeeze())


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.PNG", b"", True),
        ("a.tiff", b"", True),
        ("a.IMG", bytes(200), False),
        ("a.csv", b"id,part", False),
        ("._a.png", b"", False),
        ("IM0001", bytes(128) + b"DICM" + bytes(9), True),
        ("1.2.840.99", bytes(128) + b"DICM", True),
        ("DICOMDIR", bytes(128) + b"DICM", False),
        ("readme", b"DICM", False),
    ],
)
def test_is_image(name: str, content: bytes, expected: bool, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert formats.is_image(tmp_path / name) is expected
    assert formats.is_image(tmp_path / "gone") is False


def test_importing_loads_no_reader_that_may_not_be_needed() -> None:
    late = {"pydicom", "tifffile", "skimage", "torch"}
    code = f"import sys, bioseg.images.formats, bioseg.datasets.cases; print(sorted({late} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_single_value_that_is_no_number_is_kept(value: float) -> None:
    values = FLOAT.copy()
    values[3, 4] = value
    assert np.array_equal(formats.read(tiff(values)).pixels, values, equal_nan=True)
    assert np.array_equal(formats.to_raw_image(values).pixels, values, equal_nan=True)


@pytest.mark.parametrize("name", ["PNG 8-bit grey", "TIFF 8-bit", "DICOM"])
def test_one_pixel_is_an_image(name: str) -> None:
    suffix, one = name.split()[0], GREY[:1, :1]
    data = {"PNG": png_of(one), "TIFF": tiff(one), "DICOM": dicom(one)}[suffix]
    assert formats.size(data) == (1, 1)
    assert formats.read(data).pixels.tolist() == one.tolist()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.zeros((4, 5), complex), "complex numbers (complex128); save their magnitude"),
        (np.full((4, 5), np.nan), "no number in it: all 20 values are NaN"),
        (np.zeros((0, 5)), "none at all; give"),
        (np.zeros(5), "shape (5,); give [rows, cols]"),
        (np.zeros((4, 5, 65)), "shape (4, 5, 65); give [rows, cols]"),
        (np.array([["a", "b"]]), "type <U1; save them"),
        (np.array([[None]]), "type object; save them"),
    ],
)
def test_an_array_that_is_no_image(values: np.ndarray, says: str) -> None:
    with pytest.raises(formats.UnreadableImage) as raised:
        formats.to_raw_image(values)
    assert str(raised.value).startswith("image given as an array: ")
    assert says in str(raised.value)


def test_arrays_and_raw_images_are_images() -> None:
    raw_image = formats.to_raw_image(GREY > 7)
    assert (raw_image.pixels.dtype, raw_image.white) == (np.uint8, 1)
    assert formats.to_raw_image(raw_image) is raw_image
    assert np.array_equal(formats.to_raw_image(KINDS["PNG 8-bit grey"].data).pixels, GREY)


@pytest.mark.parametrize(
    "garbage",
    [b"0.7", b"0.7\\abc", b"abc", b"\\", b"0\\0", b"-1\\1", b"nan\\1", b"1\\2\\3", b"1e999\\1", b"\xff\xfe"],
)
def test_a_pixel_spacing_that_is_garbage_is_ignored(garbage: bytes) -> None:
    good = b"0.123456789\\0.987654321"
    data = dicom(SIGNED, PixelSpacing=[0.123456789, 0.987654321])
    assert formats.read(data).spacing_mm == (0.123456789, 0.987654321)
    assert data.count(good) == 1
    raw_image = formats.read(data.replace(good, garbage.ljust(len(good))))
    assert raw_image.spacing_mm is None
    assert np.array_equal(raw_image.pixels, SIGNED)


def test_a_rescale_that_is_garbage_is_ignored() -> None:
    data = dicom(SIGNED, RescaleSlope="1.2345678", RescaleIntercept="-765.4321")
    data = data.replace(b"1.2345678", b"abcdefghi").replace(b"-765.4321", b"1e999    ")
    raw_image = formats.read(data)
    assert (raw_image.slope, raw_image.intercept) == (1, 0)


@pytest.mark.parametrize("name", [b"caf\xe9.tif", b"x" * 246 + b".tif", "é名😀.tif".encode(), b"a\nb\x1b[31m.tif"])
def test_any_name_is_read_and_can_be_printed(name: bytes, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(tiff(SIGNED))
    assert np.array_equal(formats.read(path).pixels, SIGNED)
    assert formats.size(path) == SIGNED.shape
    assert formats.is_image(path)
    path.write_bytes(tiff(SIGNED)[:-99])
    with pytest.raises(formats.UnreadableImage) as raised:
        formats.read(path)
    said = str(raised.value)
    assert said.encode("utf-8")
    assert said.isprintable()
    assert ".tif: damaged or cut short" in said


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300 + ".png")
    assert not formats.is_image(path)
    with pytest.raises(formats.UnreadableImage, match=r"File name too long; check"):
        formats.read(path)


def test_importing_the_reader_changes_nothing_and_starts_no_process() -> None:
    code = """
import logging, os, subprocess, threading, warnings
import numpy
before = warnings.filters[:], set(logging.root.manager.loggerDict), threading.active_count()
subprocess.Popen = None
import bioseg.images.formats, bioseg.images.png, bioseg.images.codecs
new = set(logging.root.manager.loggerDict) - before[1]
print(warnings.filters == before[0], not any(name.startswith("bioseg") for name in new), threading.active_count())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "1"]


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "pattern", "count", "dtype", "ndim", "spacing"),
    [
        ("rsna-sample", "*.dcm", 15, np.uint8, 2, True),
        ("lv_deeplearning", "*.dcm", 80, np.int16, 2, True),
        ("sunnybrook-dicom", "*.dcm", 96, np.int16, 2, True),
        ("finding-lungs", "2d_images/*.tif", 160, np.int16, 2, False),
    ],
)
def test_real_images(
    name: str, pattern: str, count: int, dtype: type, ndim: int, spacing: bool, archive: Callable[[str], Path]
) -> None:
    found = list(archive(name).rglob(pattern))
    assert len(found) == count
    for path in found:
        raw_image = formats.read(path)
        assert (raw_image.pixels.dtype, raw_image.pixels.ndim) == (dtype, ndim)
        assert raw_image.pixels.shape[:2] == formats.size(path)
        assert np.ptp(raw_image.pixels) > 50
        assert (raw_image.spacing_mm is not None) is spacing
        assert not spacing or all(0.1 < side < 2 for side in raw_image.spacing_mm or ())
