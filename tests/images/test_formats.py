"""What :mod:`bioseg.images.formats` does besides reading every kind of file (that is in contracts/test_readers.py)."""

import struct
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


def lzw_tiff(values: np.ndarray) -> bytes:
    """A TIFF packed with LZW (TIFF 6.0, section 13), its table cleared so often that all codes are 9 bits wide."""
    data = values.tobytes()
    codes = [code for start in range(0, len(data), 200) for code in (256, *data[start : start + 200])]
    packed = np.packbits([code >> bit & 1 for code in (*codes, 257) for bit in range(8, -1, -1)]).tobytes()
    rows, cols, channels = values.shape
    bits, kind = 8 * values.dtype.itemsize, 2 if values.dtype.kind == "i" else 1
    tags = {
        256: cols,
        257: rows,
        258: bits,
        259: 5,
        262: 2 if channels == 3 else 1,
        277: channels,
        278: rows,
        279: len(packed),
    }
    tags |= {273: 8 + 2 + 12 * 10 + 4 + 6, 339: kind}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items())]
    if channels == 3:
        entries[2] = struct.pack("<HHII", 258, 3, 3, tags[273] - 6)
    return (
        struct.pack("<2sHIH", b"II", 42, 8, 10)
        + b"".join(entries)
        + bytes(4)
        + struct.pack("<3H", bits, bits, bits)
        + packed
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_packed_tiff_is_read_exactly_or_refused(dtype: type, channels: int, tmp_path: Path) -> None:
    size = np.dtype(dtype).itemsize
    expected = np.random.default_rng(0).integers(0, 256, (9, 8, channels * size), dtype=np.uint8).view(dtype)
    path = tmp_path / "a.tif"
    path.write_bytes(lzw_tiff(expected))
    if channels * size == 6:
        with pytest.raises(
            formats.UnreadableImage, match=r"a\.tif: u?int16 with LZW compression is not supported; save it"
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
