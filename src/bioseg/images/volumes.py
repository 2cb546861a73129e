"""Volumes as stacks of images: which axis is cut into slices, and how a slice lies on the screen.

The slices lie along the axis whose voxels are much longer than along the others, or else along the last one. They are shown as
on a radiologist's screen: columns run to the patient's left, in a sagittal slice to the back; rows to the back, in a coronal or
sagittal slice to the feet.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import permutations

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bioseg.images.raw_image import Grid, Header, RawImage, UnreadableImage, from_pixels
from bioseg.types import Array

COARSE = 1.5
"""An axis is the one that is cut if its voxels are longer than those of the others by more than this factor."""

Affine = NDArray[np.float64]
Read = Callable[[int, int], bytes]
"""(first byte, number of bytes) of the voxels, the first axis varying fastest → exactly these bytes."""


@dataclass(frozen=True)
class Cut:
    """How a volume becomes images.

    Attributes:
        axis: Of the file; a slice for every voxel along it.
        rows: The axis that becomes rows.
        cols: The axis that becomes columns.
        flips: Whether (rows, cols) run against their axes.
        spacing_mm: Between voxel centres, (slices, rows, cols).
    """

    axis: int
    rows: int
    cols: int
    flips: tuple[bool, bool]
    spacing_mm: tuple[float, float, float]

    def to_image(self, part: Array) -> Array:
        """A slice in the order of the file's axes, as an image [rows, cols]."""
        image = part if self.rows < self.cols else part.T
        return image[:: -1 if self.flips[0] else 1, :: -1 if self.flips[1] else 1]

    def to_slice(self, image: Array) -> Array:
        """The inverse of :meth:`to_image`."""
        part = image[:: -1 if self.flips[0] else 1, :: -1 if self.flips[1] else 1]
        return part if self.rows < self.cols else part.T


def cut(grid: Grid) -> Cut:
    """How the volume of a grid becomes images."""
    steps = np.array(grid.affine)[:, :3]
    lengths = np.linalg.norm(steps, axis=0)
    patient = max(permutations(range(3)), key=lambda order: sum(abs(steps[order[i], i]) / lengths[i] for i in range(3)))
    axis = _slice_axis(grid.shape, lengths)
    first, second = sorted((i for i in range(3) if i != axis), key=lambda i: patient[i])
    towards = {i: steps[patient[i], i] < 0 for i in (first, second)}  # to the left, the back, the feet
    flips = (not towards[second], not towards[first])
    spacing_mm = (float(lengths[axis]), float(lengths[second]), float(lengths[first]))
    return Cut(axis, second, first, flips, spacing_mm)


def _slice_axis(shape: tuple[int, int, int], lengths: NDArray[np.float64]) -> int:
    if shape.count(1) == 1:
        return shape.index(1)
    longest = int(np.argmax(lengths))
    return longest if lengths[longest] > COARSE * np.sort(lengths)[1] else 2


def grid_of(shape: tuple[int, ...], affine: Affine | None, spacing: tuple[float, ...] = ()) -> Grid:
    """The grid of a volume.

    Args:
        shape: Voxels along each axis; missing axes have one.
        affine: [3 or 4, 4], voxel → mm in RAS; None where the file places nothing.
        spacing: For a file without an affine.

    Raises:
        UnreadableImage: More than three axes, no voxel, or an affine that is not finite or flattens the volume.
    """
    if any(count > 1 for count in shape[3:]):
        raise UnreadableImage(f"{'×'.join(map(str, shape))} voxels; save one three-dimensional volume of it")
    if min(shape, default=0) < 1:
        raise UnreadableImage(f"{'×'.join(map(str, shape))} voxels: none at all; export it again")
    rows, cols, slices = (*shape, 1, 1)[:3]
    placed = affine is not None
    if affine is None:
        x, y, z = (*(abs(one) for one in spacing), 1.0, 1.0, 1.0)[:3]
        affine = np.diag([-(x or 1.0), -(y or 1.0), z or 1.0, 1.0])
    steps = affine[:3, :3]
    if not np.isfinite(affine).all() or not abs(np.linalg.det(steps)) > 1e-12 * np.prod(np.linalg.norm(steps, axis=0)):
        raise UnreadableImage(f"affine {affine[:3].tolist()!s:.80} is no place in space; write its geometry again")
    return Grid((rows, cols, slices), tuple(tuple(map(float, row)) for row in affine[:3]), placed)


def open_slices(
    grid: Grid, dtype: DTypeLike, read: Read, *, mm: float | None = 1.0, slope: float = 1.0, intercept: float = 0.0
) -> Header:
    """A volume as a header with a plane per slice.

    Args:
        grid: Of the volume.
        dtype: Of a voxel, with byte order.
        read: Gives bytes of the voxels.
        mm: Millimetres per unit of the grid; None: unknown.
        slope: See :class:`RawImage`.
        intercept: See :class:`RawImage`.
    """
    how, kind = cut(grid), np.dtype(dtype)
    shape = grid.shape

    @cache
    def whole() -> Array:
        count = int(np.prod(shape, dtype=object))
        return np.frombuffer(read(0, count * kind.itemsize), kind).reshape(shape, order="F")

    def decode(plane: int) -> RawImage:
        if how.axis == 2:
            size = shape[0] * shape[1] * kind.itemsize
            part = np.frombuffer(read(plane * size, size), kind).reshape(shape[:2], order="F")
        else:
            part = np.take(whole(), plane, how.axis)
        raw_image = from_pixels(how.to_image(part))
        slices, rows, cols = (one * (mm or 0) for one in how.spacing_mm)
        return replace(
            raw_image,
            spacing_mm=(rows, cols) if mm else None,
            spacing_from="volume" if mm else "",
            slice_spacing_mm=slices if mm and shape[how.axis] > 1 else None,
            slope=slope,
            intercept=intercept,
        )

    return Header((shape[how.rows], shape[how.cols]), decode, shape[how.axis], grid)


def check_length(found: int, shape: tuple[int, ...], dtype: DTypeLike) -> None:
    """Refuse a file that is shorter than its header says, before anything is read.

    Raises:
        ValueError: It is.
    """
    kind = np.dtype(dtype)
    expected = int(np.prod(shape, dtype=object)) * kind.itemsize
    if found < expected:
        raise ValueError(f"{found:,} bytes of voxels, {'×'.join(map(str, shape))} of {kind} are {expected:,}")


def exactly(data: bytes, count: int) -> bytes:
    """``data`` if it has ``count`` bytes.

    Raises:
        EOFError: It is shorter.
    """
    if len(data) != count:
        raise EOFError("its voxels end early")
    return data
