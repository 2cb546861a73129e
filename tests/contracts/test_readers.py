"""Every kind of file × everything a reader promises; then every kind of bad file. All are written by the tests."""

import io
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydicom.uid import MPEG2MPML

from bioseg.images import decoding, formats, worker
from bioseg.types import BiosegError, RawFormat
from tests.contracts import volume_files
from tests.contracts.image_files import (
    COLS,
    FLOAT,
    GREY,
    RAW,
    ROWS,
    WORDS,
    Kind,
    dicom,
    lzw_tiff,
    png_bomb,
    tiff,
    tiff_with,
    twelve_bit_jpeg,
    two_sizes,
)  # fmt: skip
from tests.contracts.kinds import KINDS

MICROSCOPES = (
    ".czi",
    ".nd2",
    ".lif",
    ".oib",
    ".oif",
)  # see tests/images/test_microscopy.py; .mhd is in test_volumes.py
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
    assert {kind.suffix.lower() for kind in KINDS.values()} | {".mhd", *MICROSCOPES} == formats.SUFFIXES | {".img"}


@EVERY
def test_values_and_facts_are_the_files_own(kind: Kind, tmp_path: Path) -> None:
    raw_image = formats.read(put(tmp_path, kind), kind.raw, plane=kind.plane)
    assert raw_image.pixels.dtype == kind.expected.dtype  # native byte order included
    assert raw_image.pixels.shape == kind.expected.shape
    assert np.abs(raw_image.pixels.astype(float) - kind.expected).max() <= kind.tolerance
    assert (raw_image.white, raw_image.inverted) == (kind.white, kind.inverted)
    assert raw_image.spacing_mm == (kind.spacing_mm and pytest.approx(kind.spacing_mm, rel=1e-4))
    assert raw_image.channels == kind.channels
    assert bool(raw_image.spacing_from) == bool(raw_image.spacing_mm)
    assert (raw_image.slope, raw_image.intercept) == kind.rescale
    assert raw_image.slice_spacing_mm == kind.slice_spacing_mm


@EVERY
def test_size_is_that_of_the_pixels(kind: Kind, tmp_path: Path) -> None:
    assert formats.size(put(tmp_path, kind), kind.raw) == kind.expected.shape[:2] == (ROWS, COLS)


@EVERY
def test_a_name_says_nothing(kind: Kind, tmp_path: Path) -> None:
    path = put(tmp_path, kind)
    assert formats.is_image(path) == (kind.raw is None)
    if kind.described:
        other = path.rename(tmp_path / "1.2.840.113")
        assert np.array_equal(
            formats.read(other, kind.raw, plane=kind.plane).pixels,
            formats.read(put(tmp_path, kind), kind.raw, plane=kind.plane).pixels,
        )
        assert formats.is_image(other) == (kind.suffix == ".dcm")


@EVERY
def test_the_content_of_a_file_is_as_good_as_its_path(kind: Kind, tmp_path: Path) -> None:
    by_path, by_bytes = (
        formats.read(source, kind.raw, plane=kind.plane) for source in (put(tmp_path, kind), kind.data)
    )
    assert np.array_equal(by_path.pixels, by_bytes.pixels)
    assert vars(by_path) | {"pixels": None} == vars(by_bytes) | {"pixels": None}
    assert formats.size(kind.data, kind.raw) == (ROWS, COLS)


@EVERY
@pytest.mark.filterwarnings("error")
def test_a_file_cut_anywhere_is_refused_or_whole(
    kind: Kind, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    whole = formats.read(put(tmp_path, kind), kind.raw, plane=kind.plane).pixels
    refused = 0
    for length in sorted({*range(0, len(kind.data), max(1, len(kind.data) // 23)), len(kind.data) - 1}):
        path = put(tmp_path, kind, kind.data[:length])
        try:
            found = formats.read(path, kind.raw, plane=kind.plane).pixels
            assert np.array_equal(found, whole), f"{length} of {len(kind.data)} bytes"
        except formats.UnreadableImage:
            complaint(path, raw=kind.raw, plane=kind.plane)
            refused += 1
    assert refused >= 10
    assert not caplog.records
    assert capfd.readouterr() == ("", "")  # libtiff and libjpeg have lines of their own


@EVERY
def test_too_many_pixels_are_refused_from_the_header(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, most = put(tmp_path, kind), ROWS * COLS
    assert formats.read(path, kind.raw, plane=kind.plane, max_pixels=most).pixels.shape[:2] == (ROWS, COLS)
    assert f"{ROWS}×{COLS} is more than {most - 1} pixels" in complaint(
        path, raw=kind.raw, plane=kind.plane, max_pixels=most - 1
    )
    if not kind.raw:
        header = decoding.open_image(io.BytesIO(kind.data), kind.suffix.lower())
        monkeypatch.setattr(
            worker, "open_image", lambda *_: replace(header, decode=lambda plane: pytest.fail("decoded"))
        )
        sent: list[dict[str, Any]] = []
        request = {"path": None, "suffix": "", "header_only": False, "max_pixels": most - 1, "plane": None, "level": 0}
        worker._answer(
            {**request, "seconds": (99, 0), "memory": (1e10, 0)}, bytearray(), SimpleNamespace(send=sent.append)
        )
        assert [set(message) for message in sent] == [{"error"}]


GOOD, BMP = KINDS["PNG 8-bit grey"].data, KINDS["BMP"].data
STACK = np.zeros((5, 8, 9), np.uint8)
SEVENTY, VOLUME = np.zeros((8, 9, 70), np.uint8), np.zeros((16, 16, 32), np.uint8)
WIDE = np.broadcast_to(np.uint8(0), (13_000, 13_000))
BAD: dict[str, tuple[str, bytes, str]] = {
    "PNG cut short": ("a.png", GOOD[:300], "damaged or cut short"),
    "PNG with a false byte": ("a.png", GOOD[:60] + b"?" + GOOD[61:], "damaged"),
    "0 bytes": ("a.png", b"", "0 bytes"),
    "0 bytes, DICOM": ("a.dcm", b"", "0 bytes"),
    "DICOM cut after its first group": ("a.dcm", dicom(GREY)[:200], "damaged or cut short (nothing after its first"),
    "DICOM without pixels": ("a.dcm", dicom(None), "without pixels (modality 'CR')"),
    "DICOM with rows but no pixels": ("a.dcm", dicom(None, Rows=3, Columns=4), "without pixels (modality 'CR')"),
    "DICOM of many frames": (
        "a.dcm",
        volume_files.KINDS["DICOM frames"].data,
        "4 planes in one file; give --plane 1…4",
    ),
    "DICOM of fewer frames than it says": ("a.dcm", dicom(WORDS, NumberOfFrames=7), "bytes for 7 frames"),
    "DICOM packed in a way we lack": (
        "a.dcm",
        dicom(GREY, MPEG2MPML, b"\xff\xd8\xff\xf7"),
        "MPEG2 Main Profile",
    ),
    "text called DICOM": ("a.dcm", b"hello, this is not an image " * 9, "of no known format (begins with b'hell')"),
    "bomb, PNG": ("a.png", png_bomb(), "20000×20000"),
    "bomb, DICOM": ("a.dcm", dicom(GREY, Rows=20_000, Columns=20_000), "20000×20000"),
    "bomb, TIFF": ("a.tif", tiff(WIDE, compression="zlib"), "13000×13000 is more than 150,000,000 pixels; shrink it"),
    "bomb, BMP": ("a.bmp", BMP[:18] + (20_000).to_bytes(4, "little") * 2 + BMP[26:], "20000×20000"),
    "unknown format": ("a.png", b"\0\1\2 and so on", "no known format (begins with b'\\x00\\x01\\x02 ')"),
    "complex numbers": ("a.tif", tiff(FLOAT.astype(np.complex64)), "complex numbers (complex64); save their magnitude"),
    "no number": ("a.tif", tiff(np.full((4, 5), np.nan, np.float32)), "no number in it: all 20 values are NaN"),
    "no finite number": ("a.tif", tiff(np.full((4, 5), np.inf)), "no number in it: all 20 values are NaN or infinite"),
    "0 rows": ("a.dcm", dicom(GREY, Rows=0), "0×37 is an image without pixels"),
    "one byte": ("a.png", b"\x89", "format"),
    "TIFF of many pages": ("a.tif", tiff(STACK, photometric="minisblack"), "5 planes"),
    "TIFF stack of ImageJ": ("a.tif", tiff(STACK, imagej=True, metadata={"axes": "ZYX"}), "5 planes"),
    "TIFF volume": ("a.tif", tiff(VOLUME, volumetric=True, tile=(16, 16, 16)), "16 planes"),
    "TIFF of 70 channels": ("a.tif", tiff(SEVENTY, photometric="minisblack", planarconfig="contig"), "70 channels"),
    "TIFF of two sizes": ("a.tif", two_sizes(), "2 images of several sizes in one TIFF; save"),
    "OME-TIFF of RGB channels": (
        "a.tif",
        tiff(np.zeros((2, 8, 9, 3), np.uint8), ome=True, photometric="rgb", metadata={"axes": "CYXS"}),
        "6 channels; save at most 64, each as a page or all as samples",
    ),
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


FOREIGN = {
    "WebP": b"RIFF\x24\0\0\0WEBPVP8 ",
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "JPEG-LS": b"\xff\xd8\xff\xf7\0\x0b",
    "NIfTI": (348).to_bytes(4, "little") + bytes(340) + b"ni1\0",
    "gzip": b"\x1f\x8b\x08\0",
    "PDF": b"%PDF-1.7\n",
    "ZIP": b"PK\x03\x04",
    "HDF5": b"\x89HDF\r\n\x1a\n",
}
UNSUPPORTED = {
    "TIFF of 3 channels and 16 bits, LZW": (lzw_tiff(np.zeros((4, 5, 3), np.uint16)), "uint16 with LZW compression"),
    "TIFF of JPEG 2000": (tiff_with(259, 34712), "uint8 with JPEG2000 compression"),
    "TIFF of an unknown compression": (tiff_with(259, 777), "777 is not a known COMPRESSION"),
    "TIFF of a type unknown": (tiff_with(258, 99), "not supported"),
    "DICOM, HTJ2K": (dicom(GREY, MPEG2MPML, b"\xff\xd8\xff\xf7"), "MPEG2 Main Profile"),
    "JPEG of 12 bits": (twelve_bit_jpeg(), "12-bit"),
    "BMP of unknown compression": (BMP[:30] + (77).to_bytes(4, "little") + BMP[34:], "compression"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_kinds_that_are_not_read_are_called_by_their_name(name: str, tmp_path: Path) -> None:
    for suffix in (".png", ".tif", ".dcm", ""):
        path = tmp_path / f"image{suffix}"
        path.write_bytes(FOREIGN[name] + bytes(300))
        said = complaint(path)
        assert name in said and "not supported; " in said and "damaged" not in said


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_is_not_supported_is_not_called_damaged(name: str) -> None:
    data, says = UNSUPPORTED[name]
    with pytest.raises(formats.UnreadableImage) as raised:
        formats.read(data)
    said = str(raised.value)
    assert says in said and "not supported" in said and "; " in said
    assert "damaged" not in said


def test_no_file_and_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.png"))
        for name, says in {
            "gone.png": "no such file; check the path",
            "a\0b.png": "not a possible path",
            "loop.png": "symbolic links",
            "folder.png": "is a directory, not a file",
            "pipe.png": "is a named pipe (FIFO), not a file",
            "link.png": "is a named pipe (FIFO), not a file",
            "socket.png": "is a socket, not a file",
        }.items():
            for raw in (None, RAW):
                for work in (formats.read, formats.size):
                    path = tmp_path / name
                    with pytest.raises(formats.UnreadableImage) as raised:
                        work(path, raw)
                    assert says in str(raised.value) and "\0" not in str(raised.value)
            assert not formats.is_image(tmp_path / name)
            assert not formats.is_image((tmp_path / name).with_suffix(""))
    assert "is a device" in complaint(Path("/dev/zero"))


def test_raw_of_another_size(tmp_path: Path) -> None:
    for length, work in ((100, formats.read), (100, formats.size), (2000, formats.read)):
        said = complaint(put(tmp_path, KINDS["raw"], bytes(length)), raw=RAW, work=work)
        assert all(words in said for words in (f"{length:,} bytes", f"{ROWS}×{COLS}", f"{ROWS * COLS * 2:,}"))
