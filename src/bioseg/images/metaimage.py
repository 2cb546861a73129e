"""MetaImage volumes of ITK (.mha, or .mhd with a file of voxels beside it)."""

import io
import os
import stat
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bioseg.images import volumes
from bioseg.images.raw_image import Header, UnreadableImage

_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
_LONGEST = 1 << 16
"""Bytes of a header."""
_TO_RAS = np.diag([-1.0, -1.0, 1.0])  # ITK's axes point to the left and to the back


def is_metaimage(start: bytes) -> bool:
    """Whether a file begins as a MetaImage header."""
    return start.startswith((b"ObjectType", b"NDims"))


def open_header(file: BinaryIO) -> Header:
    """The header of a MetaImage.

    Args:
        file: At its beginning; for voxels in another file it must have a name.

    Raises:
        UnreadableImage: It is no image of one channel, or its voxels lie elsewhere than beside it or in several files.
        Exception: It is damaged.
    """
    fields, start = _fields(file.read(_LONGEST))
    shape = tuple(int(one) for one in _numbers(fields, "DimSize"))
    if len(shape) != int(fields.get("NDims", len(shape))):
        raise ValueError(f"NDims = {fields['NDims']}, DimSize = {fields['DimSize']}")
    kind, channels = fields.get("ElementType", ""), fields.get("ElementNumberOfChannels", "1")
    if kind not in _TYPES or channels != "1":
        raise UnreadableImage(f"MetaImage of {channels} × {kind[:40]!r} is not supported; save numbers of one channel")
    big = _true(fields, "ElementByteOrderMSB") or _true(fields, "BinaryDataByteOrderMSB")
    dtype = np.dtype(_TYPES[kind]).newbyteorder(">" if big else "<")
    spacing = _numbers(fields, "ElementSpacing") or _numbers(fields, "ElementSize")
    axes = _numbers(fields, "TransformMatrix") or _numbers(fields, "Rotation") or _numbers(fields, "Orientation")
    grid = volumes.grid_of(shape, _affine(len(shape), spacing, axes, fields), spacing)
    place = _Voxels(file, start) if fields["ElementDataFile"] == "LOCAL" else _beside(file, fields)
    if not _true(fields, "CompressedData"):
        volumes.check_length(place.length(), shape, dtype)
        return volumes.open_slices(grid, dtype, place.read, mm=1.0 if spacing else None)

    @cache
    def unpacked() -> bytes:
        count = int(np.prod(shape, dtype=object)) * dtype.itemsize
        data = zlib.decompressobj(wbits=47).decompress(place.read(0, place.length()), count)
        return volumes.exactly(data, count)

    return volumes.open_slices(
        grid, dtype, lambda first, count: unpacked()[first : first + count], mm=1.0 if spacing else None
    )


class _Voxels:
    """Where the voxels lie: a file from some byte on."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file, self._start = file, start

    def length(self) -> int:
        return self._file.seek(0, io.SEEK_END) - self._start

    def read(self, start: int, count: int) -> bytes:
        self._file.seek(self._start + start)
        return volumes.exactly(self._file.read(count), count)


def _beside(file: BinaryIO, fields: Mapping[str, str]) -> _Voxels:
    """The voxels in another file of the same folder."""
    name = fields["ElementDataFile"]
    if not name or os.path.basename(name) != name or name.split()[0] == "LIST" or "%" in name:
        raise UnreadableImage(f"MetaImage with voxels in {name[:80]!r}; save it as one file (.mha)")
    own = getattr(file, "name", None)
    if not isinstance(own, str | bytes):
        raise UnreadableImage(f"MetaImage with voxels in {name[:80]!r}; give the path of the file, not its content")
    path = Path(os.fsdecode(own)).with_name(name)
    try:
        regular = stat.S_ISREG(path.stat().st_mode)  # opening a named pipe may wait for ever
    except OSError:
        regular = False
    if not regular:
        raise UnreadableImage(f"its voxels, {name[:80]!r}, are not beside it; copy both files")
    skipped = int(fields.get("HeaderSize", 0))
    beside = path.open("rb")
    if skipped < 0:  # the voxels are what stands at the end
        shape = [int(one) for one in _numbers(fields, "DimSize")]
        size = int(np.prod(shape, dtype=object)) * np.dtype(_TYPES[fields["ElementType"]]).itemsize
        skipped = max(0, beside.seek(0, io.SEEK_END) - size)
    return _Voxels(beside, skipped)


def _fields(start: bytes) -> tuple[dict[str, str], int]:
    """The header's fields, and where it ends."""
    fields: dict[str, str] = {}
    place = 0
    while "ElementDataFile" not in fields:
        end = start.find(b"\n", place)
        if end < 0:
            raise ValueError("no ElementDataFile in its header")
        name, _, value = start[place:end].decode("latin-1").partition("=")
        fields[name.strip()] = value.strip()
        place = end + 1
    if "DimSize" not in fields:
        raise ValueError("no DimSize in its header")
    return fields, place


def _numbers(fields: Mapping[str, str], name: str) -> tuple[float, ...]:
    return tuple(float(one) for one in fields.get(name, "").split())


def _true(fields: Mapping[str, str], name: str) -> bool:
    return fields.get(name, "").lower() == "true"


def _affine(
    count: int, spacing: tuple[float, ...], axes: tuple[float, ...], fields: Mapping[str, str]
) -> volumes.Affine | None:
    """Voxel → mm in RAS; None where the header gives no spacing. Each row of the matrix is an axis in LPS."""
    if not spacing:
        return None
    direction, steps, origin = np.eye(3), np.ones(3), np.zeros(3)
    if axes:
        direction[:count, :count] = np.reshape(axes, (count, count)).T
    steps[:count] = spacing
    if position := next(filter(None, (_numbers(fields, name) for name in ("Offset", "Position", "Origin"))), ()):
        origin[:count] = position
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = _TO_RAS @ direction @ np.diag(steps), _TO_RAS @ origin
    return affine
