"""NIfTI volumes (.nii, .nii.gz): the header by nibabel, the voxels as they are stored."""

import gzip
import io
import math
from typing import BinaryIO

import numpy as np

from bioseg.images import volumes
from bioseg.images.raw_image import Header, UnreadableImage

_MM = {"meter": 1000.0, "mm": 1.0, "micron": 0.001}
_LONGEST = 540
"""Bytes of the longer of the two headers."""


def is_nifti(start: bytes) -> bool:
    """Whether a file begins as a NIfTI-1 or NIfTI-2 file with header and voxels in one."""
    return start[344:348] == b"n+1\0" or start[4:8] == b"n+2\0"


def unpacked_start(file: BinaryIO) -> bytes:
    """The beginning of what is in a gzip file.

    Raises:
        Exception: It is damaged.
    """
    file.seek(0)
    with gzip.GzipFile(fileobj=file) as packed:
        return packed.read(_LONGEST)


def open_header(file: BinaryIO, *, packed: bool) -> Header:
    """The header of a NIfTI file.

    Args:
        file: At any place.
        packed: Whether it is a gzip file.

    Raises:
        UnreadableImage: It holds several volumes, or an affine that is none.
        Exception: It is damaged.
    """
    from nibabel import Nifti1Header, Nifti2Header

    file.seek(0)
    stream = gzip.GzipFile(fileobj=file) if packed else file
    start = stream.read(_LONGEST)
    kind = Nifti2Header if start[4:8] == b"n+2\0" else Nifti1Header
    header = kind.from_fileobj(io.BytesIO(start))
    shape = tuple(int(count) for count in header.get_data_shape())
    dtype, offset = header.get_data_dtype(), int(header.get_data_offset())
    placed = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
    spacing = tuple(float(one) for one in header.get_zooms())
    if not all(map(math.isfinite, spacing)):
        raise UnreadableImage(f"voxels of {spacing} mm; write its geometry again")
    grid = volumes.grid_of(shape, header.get_best_affine() if placed else None, spacing)
    if not packed:
        volumes.check_length(file.seek(0, io.SEEK_END) - offset, shape, dtype)
    slope, intercept = header.get_slope_inter()

    def read(start: int, count: int) -> bytes:
        stream.seek(offset + start)
        return volumes.exactly(stream.read(count), count)

    unit = _MM.get(header.get_xyzt_units()[0])
    if unit is None and set(np.abs(spacing)) - {1.0}:
        unit = 1.0  # not said, as many programs leave it, and not the 1 that stands where nothing is known
    return volumes.open_slices(
        grid, dtype, read, mm=unit, slope=1.0 if slope is None else float(slope), intercept=float(intercept or 0.0)
    )
