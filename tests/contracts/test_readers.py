"""Every kind of file × everything a reader promises; then every kind of bad file. All are written by the tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import JPEGLSLossless

from bioseg.images import formats
from bioseg.types import BiosegError, RawFormat
from tests.contracts.image_files import COLS, GREY, KINDS, RAW, ROWS, WORDS, Kind, dicom, png_bomb, tiff

EVERY = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())


def put(folder: Path, kind: Kind, data: bytes | None = None) -> Path:
    path = folder / f"image{kind.suffix}"
    path.write_bytes(kind.data if data is None else data)
    return path


def complaint(path: Path, *, raw: RawFormat | None = None, work: Callable[..., Any] = formats.read, **how: Any) -> str:
    """What a reader says of a bad file; one line with the file's name and, after a semicolon, a remedy."""
    with pytest.raises(formats.UnreadableImage) as raised:
        work(path, raw, **how)
    said = str(raised.value)
    assert isinstance(raised.value, BiosegError)
    assert path.name in said
    assert len(said.splitlines()) == 1
    assert said.rpartition("; ")[2].split(), said
    return said


def test_covers_every_kind_of_the_issue() -> None:
    assert len(KINDS) >= 35
    for words in (
        "PNG 1-bit",
        "PNG 8",
        "PNG 16",
        "PNG RGBA",
        "PNG palette",
        "JPEG",
        "GIF",
        "BMP",
        "TIFF signed",
        "TIFF float",
    ):
        assert any(name.startswith(words) for name in KINDS), words
    for words in ("MONOCHROME1", "rescaled", "JPEG baseline", "raw"):
        assert any(words in name for name in KINDS), words
    assert {kind.suffix.lower() for kind in KINDS.values()} == formats.SUFFIXES | {".img"}


@EVERY
def test_values_and_facts_are_the_files_own(kind: Kind, tmp_path: Path) -> None:
    raw_image = formats.read(put(tmp_path, kind), kind.raw)
    assert raw_image.pixels.dtype == kind.expected.dtype  # native byte order included
    assert raw_image.pixels.shape == kind.expected.shape
    assert np.abs(raw_image.pixels.astype(float) - kind.expected).max() <= kind.tolerance
    assert (raw_image.white, raw_image.inverted, raw_image.spacing_mm) == (kind.white, kind.inverted, kind.spacing_mm)
    assert (raw_image.slope, raw_image.intercept) == kind.rescale


@EVERY
def test_size_is_that_of_the_pixels(kind: Kind, tmp_path: Path) -> None:
    assert formats.size(put(tmp_path, kind), kind.raw) == kind.expected.shape[:2] == (ROWS, COLS)


@EVERY
def test_a_name_says_nothing(kind: Kind, tmp_path: Path) -> None:
    path = put(tmp_path, kind)
    assert formats.is_image(path) == (kind.raw is None)
    if kind.described:
        other = path.rename(tmp_path / "1.2.840.113")
        assert np.array_equal(formats.read(other, kind.raw).pixels, formats.read(put(tmp_path, kind), kind.raw).pixels)
        assert formats.is_image(other) == (kind.suffix == ".dcm")


@EVERY
@pytest.mark.filterwarnings("error")
def test_a_file_cut_anywhere_is_refused_or_whole(
    kind: Kind, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    whole = formats.read(put(tmp_path, kind), kind.raw).pixels
    refused = 0
    for length in sorted({*range(0, len(kind.data), max(1, len(kind.data) // 23)), len(kind.data) - 1}):
        path = put(tmp_path, kind, kind.data[:length])
        try:
            assert np.array_equal(formats.read(path, kind.raw).pixels, whole), f"{length} of {len(kind.data)} bytes"
        except formats.UnreadableImage:
            complaint(path, raw=kind.raw)
            refused += 1
    assert refused >= 10
    assert not caplog.records
    said = capfd.readouterr().err.splitlines()
    assert all(line.startswith("JPEGLib: ") for line in said)  # libtiff's own word, past Pillow


@EVERY
def test_a_damaged_file_is_refused_in_one_line_or_read(kind: Kind, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        data = bytearray(kind.data)
        for place in rng.integers(0, min(len(data), 400), 3):
            data[place] = rng.integers(256)
        path = put(tmp_path, kind, bytes(data))
        try:
            assert formats.read(path, kind.raw).pixels.ndim in (2, 3)
        except formats.UnreadableImage:
            complaint(path, raw=kind.raw)


@EVERY
def test_too_many_pixels_are_refused_from_the_header(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path, kind)
    assert formats.read(path, kind.raw, max_pixels=ROWS * COLS).pixels.shape[:2] == (ROWS, COLS)
    for decoder in ("_from_pillow", "_from_tiff", "_from_dicom", "_stored"):
        monkeypatch.setattr(pixels, decoder, lambda *_: pytest.fail("decoded"))
    assert f"{ROWS}×{COLS}" in complaint(path, raw=kind.raw, max_pixels=ROWS * COLS - 1)


GOOD, BMP = KINDS["PNG 8-bit grey"].data, KINDS["BMP"].data
STACK = np.zeros((5, 8, 9), np.uint8)
SEVEN, VOLUME = np.zeros((8, 9, 7), np.uint8), np.zeros((16, 16, 32), np.uint8)
WIDE = np.broadcast_to(np.uint8(0), (13_000, 13_000))
BAD: dict[str, tuple[str, bytes, str]] = {
    "PNG cut short": ("a.png", GOOD[:300], "damaged or cut short"),
    "PNG with a false byte": ("a.png", GOOD[:60] + b"?" + GOOD[61:], "damaged"),
    "0 bytes": ("a.png", b"", "0 bytes"),
    "0 bytes, DICOM": ("a.dcm", b"", "0 bytes"),
    "DICOM without pixels": ("a.dcm", dicom(None), "without pixels (modality 'CR')"),
    "DICOM with rows but no pixels": ("a.dcm", dicom(None, Rows=3, Columns=4), "without pixels (modality 'CR')"),
    "DICOM of many frames": ("a.dcm", dicom(WORDS, NumberOfFrames=7), "7 frames"),
    "DICOM packed in a way we lack": ("a.dcm", dicom(GREY, JPEGLSLossless, b"\xff\xd8\xff\xf7"), "JPEG-LS Lossless"),
    "text called DICOM": ("a.dcm", b"hello, this is not an image " * 9, ""),
    "bomb, PNG": ("a.png", png_bomb(), "20000×20000"),
    "bomb, DICOM": ("a.dcm", dicom(GREY, Rows=20_000, Columns=20_000), "20000×20000"),
    "bomb, TIFF": ("a.tif", tiff(WIDE, compression="zlib"), "13000×13000"),
    "bomb, BMP": ("a.bmp", BMP[:18] + (20_000).to_bytes(4, "little") * 2 + BMP[26:], "20000×20000"),
    "unknown format": ("a.png", b"%PDF-1.7 and so on", "b'%PDF'"),
    "one byte": ("a.png", b"\x89", "format"),
    "TIFF of many pages": ("a.tif", tiff(STACK, photometric="minisblack"), "5 images"),
    "TIFF stack of ImageJ": ("a.tif", tiff(STACK, imagej=True), "5 images"),
    "TIFF volume": ("a.tif", tiff(VOLUME, volumetric=True, tile=(16, 16, 16)), "16 images"),
    "TIFF of 7 channels": ("a.tif", tiff(SEVEN, photometric="minisblack", planarconfig="contig"), "7 channels"),
    "headerless, of unknown size": ("a.IMG", bytes(100), "rows, cols and dtype"),
}


def test_covers_every_bad_file_of_the_issue() -> None:
    assert len(BAD) >= 20
    for words in (
        "PNG cut short",
        "DICOM without pixels",
        "0 bytes",
        "bomb",
        "unknown format",
        "TIFF of many",
        "DICOM of many",
    ):
        assert any(name.startswith(words) for name in BAD), words


@pytest.mark.parametrize(("name", "data", "says"), BAD.values(), ids=BAD.keys())
@pytest.mark.filterwarnings("error")
def test_a_bad_file_gets_one_line(
    name: str, data: bytes, says: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(data)
    assert says in complaint(tmp_path / name)
    assert capfd.readouterr() == ("", "")


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    for work in (formats.read, formats.size):
        assert "no such file" in complaint(tmp_path / "gone.png", work=work)
        assert "irectory" in complaint(tmp_path, work=work)


def test_raw_of_another_size(tmp_path: Path) -> None:
    for length, work in ((100, formats.read), (100, formats.size), (2000, formats.read)):
        said = complaint(put(tmp_path, KINDS["raw"], bytes(length)), raw=RAW, work=work)
        assert all(words in said for words in (f"{length:,} bytes", f"{ROWS}×{COLS}", f"{ROWS * COLS * 2:,}"))
