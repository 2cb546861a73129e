"""The slices of a volume, put together again: one NIfTI file on the grid of the source, with its place in the patient."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bioseg.images import formats
from bioseg.images import volumes as slicing
from bioseg.images.raw_image import Grid
from bioseg.outputs import nifti
from bioseg.outputs.names import printable
from bioseg.outputs.segmented import Segmented
from bioseg.types import Array, BiosegError, Case, Problem

SUFFIX = ".nii.gz"


@dataclass(frozen=True, eq=False)
class _Slice:
    """Values [rows, cols], of a mask packed to a bit each; and what the image says of its voxels."""

    packed: Array
    shape: tuple[int, int]
    spacing_mm: tuple[float, float] | None
    slice_spacing_mm: float | None

    @property
    def values(self) -> Array:
        if self.packed.ndim == 2:
            return self.packed
        rows, cols = self.shape
        return np.unpackbits(self.packed, count=rows * cols).reshape(self.shape)


@dataclass
class Volumes:
    """What was segmented in the slices of files that hold several; threads may add to it."""

    _slices: dict[Path, dict[int, _Slice]] = field(default_factory=dict)
    _cases: dict[Path, Case] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, case: Case, segmented: Segmented) -> None:
        """Keep the values of one slice; ``case`` has a plane."""
        assert case.plane is not None
        values, raw_image = nifti.values_of(segmented), segmented.raw_image
        rows, cols = values.shape
        binary = segmented.prediction.labels is None and not segmented.several
        packed = np.packbits(values) if binary else values
        one = _Slice(packed, (rows, cols), raw_image.spacing_mm, raw_image.slice_spacing_mm)
        with self._lock:
            self._slices.setdefault(case.path, {})[case.plane] = one
            self._cases[case.path] = case

    def write(self, out: Path, names: Mapping[str, str]) -> list[Problem]:
        """Write one file for each source, 0 where a slice was not predicted; returns those that fail.

        Args:
            out: Folder.
            names: Of the outputs, by the sources' :func:`bioseg.outputs.names.printable` path.
        """
        problems = []
        for path, slices in self._slices.items():
            target = out / f"{names[printable(path)]}{SUFFIX}"
            try:
                grid = formats.facts(self._cases[path].image).grid
                whole = _on_grid(grid, slices) if grid else _stacked(slices, self._cases[path].planes)
                first = next(iter(slices.values()))
                affine = np.vstack([grid.affine, [0, 0, 0, 1]]) if grid else _plain_affine(first)
                placed = "scanner" if grid and grid.placed else "aligned"
                known = first.spacing_mm is not None or (grid is not None and grid.placed)
                nifti.write_volume(target, whole, affine, code=placed, unit="mm" if known else "unknown")
            except BiosegError as fault:
                target.unlink(missing_ok=True)  # an older one
                problems.append(Problem(path, str(fault)))
        return problems


def _on_grid(grid: Grid, slices: Mapping[int, _Slice]) -> Array:
    """The values in the order of the source's axes."""
    how = slicing.cut(grid)
    whole = np.zeros(grid.shape, _type(slices))
    for plane, one in slices.items():
        place: list[slice | int] = [slice(None)] * 3
        place[how.axis] = plane
        whole[tuple(place)] = how.to_slice(one.values)
    return whole


def _stacked(slices: Mapping[int, _Slice], count: int) -> Array:
    """[cols, rows, planes], of frames and pages."""
    rows, cols = next(iter(slices.values())).shape
    whole = np.zeros((cols, rows, count), _type(slices))
    for plane, one in slices.items():
        whole[..., plane] = one.values.T
    return whole


def _type(slices: Mapping[int, _Slice]) -> np.dtype[np.generic]:
    return np.result_type(*{one.values.dtype for one in slices.values()})


def _plain_affine(one: _Slice) -> slicing.Affine:
    affine = nifti.plain_affine(one.spacing_mm)
    affine[2, 2] = one.slice_spacing_mm or 1.0
    return affine
