"""NRRD volumes with their voxels in the same file, by pynrrd."""

import math
from functools import cache
from typing import Any, BinaryIO

import nrrd
import numpy as np

from bioseg.images import volumes
from bioseg.images.raw_image import Header, UnreadableImage

_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_TO_RAS = {"R": 1.0, "L": -1.0, "A": 1.0, "P": -1.0, "S": 1.0, "I": -1.0}


def open_header(file: BinaryIO) -> Header:
    """The header of an NRRD file.

    Raises:
        UnreadableImage: Its voxels are in another file, no numbers, or of more than three axes.
        Exception: It is damaged.
    """
    header = nrrd.read_header(file)
    start = file.tell()
    if "data file" in header or "datafile" in header:
        raise UnreadableImage("NRRD with its voxels in another file; save it as one file (.nrrd)")
    shape = tuple(int(one) for one in header["sizes"])
    affine, spacing = _affine(header), tuple(float(one) for one in header.get("spacings", ()))
    if not all(map(math.isfinite, spacing)):
        spacing = ()
    grid = volumes.grid_of(shape, affine, spacing)
    dtype = _dtype(header)

    @cache
    def voxels() -> bytes:
        file.seek(start)
        volume = nrrd.read_data(header, file, index_order="F")
        return np.asarray(volume, dtype).tobytes(order="F")

    def read(first: int, count: int) -> bytes:
        return volumes.exactly(voxels()[first : first + count], count)

    return volumes.open_slices(grid, dtype, read, mm=1.0 if affine is not None or spacing else None)


def _dtype(header: dict[str, Any]) -> np.dtype[Any]:
    kind = str(header.get("type", ""))
    name = next((name for name, words in _TYPES.items() if kind in words), "")
    if not name:
        raise UnreadableImage(f"NRRD of type {kind[:40]!r} is not supported; save numbers")
    return np.dtype(name).newbyteorder(">" if header.get("endian") == "big" else "<")


def _affine(header: dict[str, Any]) -> volumes.Affine | None:
    """Voxel → mm in RAS; None where the header names no patient's axes."""
    space, steps = str(header.get("space", "")), header.get("space directions")
    words = space.split("-") if "-" in space else list(space)
    signs = [_TO_RAS.get(word[:1].upper(), 0.0) for word in words]
    if steps is None or len(signs) != 3 or 0.0 in signs or np.shape(steps) != (3, 3):
        return None
    affine = np.eye(4)
    affine[:3, :3] = np.diag(signs) @ np.asarray(steps, float).T
    affine[:3, 3] = np.array(signs) * np.asarray(header.get("space origin", (0, 0, 0)), float)
    return affine
