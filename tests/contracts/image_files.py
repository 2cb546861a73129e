"""Files of every kind a reader knows, written here, with what they hold."""

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom
import tifffile
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless, SecondaryCaptureImageStorage

from bioseg.types import Array, RawFormat

ROWS, COLS = 23, 37
RNG = np.random.default_rng(4)
BYTES = RNG.integers(0, 256, (ROWS, COLS, 4), dtype=np.uint8)
GREY, RGB, RGBA = BYTES[..., 0], BYTES[..., :3], BYTES
WORDS = RNG.integers(0, 65536, (ROWS, COLS), dtype=np.uint16)
TWELVE = WORDS >> 4
STAINS = ("DAPI", "FITC", "Cy3", "Cy5")
MICRONS = {"PhysicalSizeX": 0.325, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 400.0, "PhysicalSizeYUnit": "nm"}
SIGNED = RNG.integers(-1024, 3000, (ROWS, COLS), dtype=np.int16)
FLOAT = RNG.normal(size=(ROWS, COLS)).astype(np.float32)
BITS = (GREY > 127).astype(np.uint8)
SMOOTH = np.add.outer(np.arange(ROWS) * 4, np.arange(COLS) * 3).astype(np.uint8)  # which a JPEG keeps
RAMP = np.stack([SMOOTH, SMOOTH[::-1], SMOOTH[:, ::-1]], axis=-1)
PALETTE = RNG.integers(0, 256, (256, 3), dtype=np.uint8)
PLANES = RNG.integers(0, 65536, (ROWS, COLS, 5), dtype=np.uint16)
RAW = RawFormat((ROWS, COLS), ">u2", white=4095, inverted=True)


def pillow(array: Array, **how: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, **how)
    return file.getvalue()


def jpeg(array: Array, **how: Any) -> bytes:
    return pillow(array, format="JPEG", quality=98, subsampling=0, **how)


def palette(format: str, **how: Any) -> bytes:
    image = Image.fromarray(GREY, "L")
    image.putpalette(PALETTE.tobytes())
    file = io.BytesIO()
    image.save(file, format, **how)
    return file.getvalue()


def tiff(array: Array, **how: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, **how)
    return file.getvalue()


def ome(array: Array, compression: str | None = None, **facts: Any) -> bytes:
    return tiff(array, ome=True, photometric="minisblack", compression=compression, metadata={"axes": "CYX", **facts})


def imagej(array: Array, *, truncate: bool = False, axes: str = "CYX", **facts: Any) -> bytes:
    """Pixels of .25 × .2 of whatever unit, rows first."""
    return tiff(array, imagej=True, truncate=truncate, resolution=(5, 4), metadata={"axes": axes, **facts})


def pyramid() -> bytes:
    """An OME-TIFF of two channels with a copy of half the size."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file, ome=True) as writer:
        whole = np.moveaxis(PLANES[..., :2], -1, 0)
        writer.write(whole, subifds=1, tile=(16, 16), photometric="minisblack", metadata={"axes": "CYX"})
        writer.write(whole[:, ::2, ::2], subfiletype=1, tile=(16, 16))
    return file.getvalue()


def slide() -> bytes:
    """As Aperio writes slides: the image, a thumbnail, a smaller copy."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for step, more in ((1, "|AppMag = 20|MPP = 0.5"), (4, ""), (2, "")):
            text = f"Aperio Image Library v11\n{COLS}x{ROWS} {more}"
            tile = None if step == 4 else (16, 16)
            writer.write(RGB[::step, ::step], tile=tile, photometric="rgb", description=text, metadata=None)
    return file.getvalue()


def dicom(
    array: Array | None,
    syntax: UID = ExplicitVRLittleEndian,
    payload: bytes | None = None,
    preamble: bool = True,
    **tags: Any,
) -> bytes:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = (
        syntax,
        SecondaryCaptureImageStorage,
        UID("1.2.3"),
    )
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = SecondaryCaptureImageStorage, "1.2.3", "CR"
    if array is not None:
        bits = 8 * array.dtype.itemsize
        dataset.Rows, dataset.Columns = array.shape[:2]
        dataset.SamplesPerPixel = 1 if array.ndim == 2 else 3
        dataset.PhotometricInterpretation = "MONOCHROME2" if array.ndim == 2 else "RGB"
        if array.ndim == 3:
            dataset.PlanarConfiguration = 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
        dataset.PixelRepresentation = int(array.dtype.kind == "i")
        data = array.tobytes() if payload is None else encapsulate([payload])
        dataset.PixelData = data + b"\0" * (len(data) % 2)
        dataset["PixelData"].VR = "OB" if payload is not None or bits == 8 else "OW"
    for name, value in tags.items():
        setattr(dataset, name, value)
    file = io.BytesIO()
    if preamble:
        dataset.save_as(file, enforce_file_format=True)
    else:
        plain = pydicom.Dataset({element.tag: element for element in dataset})
        plain.save_as(file, implicit_vr=True, little_endian=True)
    return file.getvalue()


def rle() -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(dicom(WORDS)))
    dataset.compress(RLELossless)
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def lzw_tiff(values: Array) -> bytes:
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


def tiff_with(tag: int, value: int) -> bytes:
    """A grey TIFF with another value of a SHORT tag."""
    data = bytearray(tiff(GREY, metadata=None))
    place = data.index(tag.to_bytes(2, "little") + b"\x03\0\x01\0\0\0")
    data[place + 8 : place + 10] = value.to_bytes(2, "little")
    return bytes(data)


def twelve_bit_jpeg() -> bytes:
    """A JPEG whose frame header says 12 bits."""
    data = bytearray(jpeg(SMOOTH))
    data[data.index(b"\xff\xc0") + 4] = 12
    return bytes(data)


def looping_tiff() -> bytes:
    """A TIFF of 150 pages whose last names the first as the next; readers follow it for ever."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for index in range(150):
            writer.write(np.zeros((4, 4 + index % 7), np.uint8), metadata=None)
    data, place = bytearray(file.getvalue()), 4
    while page := int.from_bytes(data[place : place + 4], "little"):
        place = page + 2 + 12 * int.from_bytes(data[page : page + 2], "little")
    data[place : place + 4] = data[4:8]
    return bytes(data)


def greedy_tiff() -> bytes:
    """A BigTIFF whose one strip pretends to be a terabyte long."""
    data = bytearray(tiff(GREY, metadata=None, bigtiff=True, compression="zlib"))
    place = data.index((279).to_bytes(2, "little") + (16).to_bytes(2, "little"))  # StripByteCounts, LONG8
    data[place + 12 : place + 20] = (1 << 40).to_bytes(8, "little")
    return bytes(data)


def two_sizes() -> bytes:
    """A TIFF of two pages of different sizes."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for rows in (8, 9):
            writer.write(np.zeros((rows, 5), np.uint8), metadata=None)
    return file.getvalue()


def png_bomb() -> bytes:
    """A PNG of 20,000×20,000 zeros in a few kilobytes."""
    head = (20_000).to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    packer = zlib.compressobj()
    data = b"".join(packer.compress(bytes(2501)) for _ in range(20_000)) + packer.flush()
    chunks = [(b"IHDR", head), (b"IDAT", data), (b"IEND", b"")]
    packed = [
        len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big") for name, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@dataclass(frozen=True, eq=False)
class Kind:
    """A file, and what its reader must say of it."""

    suffix: str
    data: bytes
    expected: Array
    white: float | None = 255
    tolerance: float = 0
    spacing_mm: tuple[float, float] | None = None
    inverted: bool = False
    rescale: tuple[float, float] = (1.0, 0.0)
    raw: RawFormat | None = None
    channels: tuple[str, ...] = ()
    described: bool = True  # by its first bytes, whatever its name
    plane: int | None = None  # of a file that holds several
    slice_spacing_mm: float | None = None


EXIF = Image.Exif()
EXIF[0x0112] = 6  # "turn me a quarter clockwise"
SEE_THROUGH = np.dstack([PALETTE[GREY], np.where(GREY == 7, 0, 255).astype(np.uint8)])
KINDS = {
    "PNG 1-bit": Kind(".png", pillow(BITS.astype(bool), format="PNG"), BITS, white=1),
    "PNG 8-bit grey": Kind(".png", pillow(GREY, format="PNG"), GREY),
    "PNG 16-bit grey": Kind(".png", pillow(WORDS, format="PNG"), WORDS, white=65535),
    "PNG RGB": Kind(".PNG", pillow(RGB, format="PNG"), RGB),
    "PNG RGBA": Kind(".png", pillow(RGBA, format="PNG"), RGBA),
    "PNG grey with alpha": Kind(".png", pillow(RGBA[..., :2], format="PNG"), RGBA[..., [0, 0, 0, 1]]),
    "PNG palette": Kind(".png", palette("PNG"), PALETTE[GREY]),
    "PNG palette, one colour clear": Kind(".png", palette("PNG", transparency=7), SEE_THROUGH),
    "JPEG grey": Kind(".jpg", jpeg(SMOOTH), SMOOTH, tolerance=3),
    "JPEG colour": Kind(".jpeg", jpeg(RAMP), RAMP, tolerance=8),
    "JPEG turned": Kind(".jpg", jpeg(np.rot90(SMOOTH).copy(), exif=EXIF), SMOOTH, tolerance=3),
    "GIF": Kind(".gif", palette("GIF"), PALETTE[GREY]),
    "GIF moving": Kind(".gif", palette("GIF", save_all=True, append_images=[Image.fromarray(SMOOTH)]), PALETTE[GREY]),
    "BMP": Kind(".bmp", pillow(RGB, format="BMP"), RGB),
    "TIFF 1-bit": Kind(".tif", tiff(BITS.astype(bool), photometric="minisblack"), BITS, white=1),
    "TIFF 8-bit": Kind(".tif", tiff(GREY), GREY),
    "TIFF 16-bit": Kind(".tiff", tiff(WORDS), WORDS, white=65535),
    "TIFF big-endian": Kind(".tif", tiff(WORDS.astype(">u2"), byteorder=">"), WORDS, white=65535),
    "TIFF signed 16-bit": Kind(".tif", tiff(SIGNED), SIGNED, white=32767),
    "TIFF float": Kind(".tif", tiff(FLOAT), FLOAT, white=None),
    "TIFF RGB": Kind(".tif", tiff(RGB, photometric="rgb"), RGB),
    "TIFF RGB in planes": Kind(".tif", tiff(np.moveaxis(RGB, -1, 0), photometric="rgb", planarconfig="separate"), RGB),
    "TIFF palette": Kind(".tif", palette("TIFF"), PALETTE[GREY]),
    "TIFF white is zero": Kind(".tif", tiff(GREY, photometric="miniswhite"), GREY, inverted=True),
    "TIFF deflate, tiles": Kind(".tif", tiff(WORDS, compression="zlib", tile=(16, 16)), WORDS, white=65535),
    "TIFF in strips": Kind(".tif", tiff(WORDS, rowsperstrip=4), WORDS, white=65535),
    "TIFF LZW": Kind(".tif", pillow(GREY, format="TIFF", compression="tiff_lzw"), GREY),
    "TIFF LZW 16-bit": Kind(".tif", pillow(WORDS, format="TIFF", compression="tiff_lzw"), WORDS, white=65535),
    "TIFF LZW float": Kind(".tif", pillow(FLOAT, format="TIFF", compression="tiff_lzw"), FLOAT, white=None),
    "TIFF JPEG": Kind(".tif", pillow(SMOOTH, format="TIFF", compression="jpeg"), SMOOTH, tolerance=12),
    "TIFF fax": Kind(".tif", pillow(BITS.astype(bool), format="TIFF", compression="group4"), BITS, white=1),
    "TIFF of 2 channels": Kind(
        ".tif",
        tiff(PLANES[..., :2].copy(), photometric="minisblack", planarconfig="contig"),
        PLANES[..., :2],
        65535,
        channels=("1", "2"),
    ),
    "TIFF of 3 channels, not RGB": Kind(
        ".tif", tiff(RGB, photometric="minisblack", planarconfig="contig"), RGB, channels=("1", "2", "3")
    ),
    "TIFF of 5 channels in planes": Kind(
        ".tif",
        tiff(np.moveaxis(PLANES, -1, 0).copy(), photometric="minisblack", planarconfig="separate"),
        PLANES,
        65535,
        channels=("1", "2", "3", "4", "5"),
    ),
    "TIFF RGBA": Kind(".tif", tiff(RGBA, photometric="rgb", extrasamples=["unassalpha"]), RGBA),
    "TIFF grey with alpha": Kind(
        ".tif",
        tiff(RGBA[..., :2].copy(), photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"]),
        RGBA[..., [0, 0, 0, 1]],
    ),
    "OME-TIFF of 4 channels": Kind(
        ".tif",
        ome(np.moveaxis(PLANES[..., :4], -1, 0), Channel={"Name": list(STAINS)}, **MICRONS),
        PLANES[..., :4],
        65535,
        spacing_mm=(0.0004, 0.000325),
        channels=STAINS,
    ),
    "OME-TIFF of 2 float channels, deflate": Kind(
        ".tif",
        ome(np.stack([FLOAT, -FLOAT]), compression="zlib"),
        np.stack([FLOAT, -FLOAT], -1),
        None,
        channels=("1", "2"),
    ),
    "OME-TIFF RGB": Kind(".tif", tiff(RGB, ome=True, photometric="rgb", metadata={"axes": "YXS"}), RGB),
    "OME-TIFF pyramid": Kind(".tif", pyramid(), PLANES[..., :2], 65535, channels=("1", "2")),
    "SVS": Kind(".svs", slide(), RGB, spacing_mm=(0.0005, 0.0005)),
    "ImageJ of 3 channels": Kind(
        ".tif",
        imagej(np.moveaxis(PLANES[..., :3], -1, 0), Labels=["DAPI", "GFP", "RFP"], unit="micron"),
        PLANES[..., :3],
        65535,
        spacing_mm=(0.00025, 0.0002),
        channels=("DAPI", "GFP", "RFP"),
    ),
    "ImageJ of 2 channels, one header": Kind(
        ".tif",
        imagej(np.moveaxis(PLANES[..., :2], -1, 0), truncate=True, unit="inch"),
        PLANES[..., :2],
        65535,
        channels=("1", "2"),
    ),
    "ImageJ in millimetres": Kind(".tif", imagej(GREY, axes="YX", unit="mm"), GREY, spacing_mm=(0.25, 0.2)),
    "BigTIFF": Kind(".tif", tiff(GREY, bigtiff=True), GREY),
    "DICOM": Kind(".dcm", dicom(WORDS), WORDS, white=65535),
    "DICOM 12-bit MONOCHROME1": Kind(
        ".dcm",
        dicom(TWELVE, BitsStored=12, PhotometricInterpretation="MONOCHROME1", ImagerPixelSpacing=[0.2, 0.3]),
        TWELVE,
        white=4095,
        inverted=True,
        spacing_mm=(0.2, 0.3),
    ),
    "DICOM signed, rescaled": Kind(
        ".dcm",
        dicom(SIGNED, RescaleSlope="0.5", RescaleIntercept="-1024", PixelSpacing=[0.7, 0.8], ImagerPixelSpacing=[1, 1]),
        SIGNED,
        white=32767,
        rescale=(0.5, -1024.0),
        spacing_mm=(0.7, 0.8),
    ),
    "DICOM RGB": Kind(".dcm", dicom(RGB, PixelSpacing=[2, 1]), RGB, spacing_mm=(2.0, 1.0)),
    "DICOM JPEG baseline": Kind(".dcm", dicom(SMOOTH, JPEGBaseline8Bit, jpeg(SMOOTH)), SMOOTH, tolerance=3),
    "DICOM JPEG baseline in colour": Kind(
        ".dcm",
        dicom(RAMP, JPEGBaseline8Bit, jpeg(RAMP), PhotometricInterpretation="YBR_FULL"),
        RAMP,
        tolerance=8,
    ),
    "DICOM run lengths": Kind(".dcm", rle(), WORDS, white=65535),
    "DICOM without preamble": Kind(".dcm", dicom(WORDS, preamble=False), WORDS, white=65535, described=False),
    "raw": Kind(".IMG", TWELVE.astype(">u2").tobytes(), TWELVE, white=4095, inverted=True, raw=RAW),
}
