"""NIfTI for ITK-SNAP, 3D Slicer and the like."""

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bioseg import files
from bioseg.outputs.dicom_header import numbers, read_header
from bioseg.outputs.segmented import Segmented
from bioseg.types import Array, BiosegError

LARGEST_PX = 32_767
"""A NIfTI header has 16 bits for a side."""

Affine = NDArray[np.float64]


def write(path: Path, segmented: Segmented) -> None:
    """Write [cols, rows, 1]: 1 in the foreground, a value per class, or one number per object where the model separates them.

    Raises:
        BiosegError: It could not be written, or a side is longer than :data:`LARGEST_PX`.
    """
    values = values_of(segmented)
    if max(values.shape) > LARGEST_PX:
        raise BiosegError(
            f"{path}: {values.shape[0]}×{values.shape[1]} px; NIfTI holds {LARGEST_PX:,} a side at most: leave nifti out"
        )
    spacing_mm = segmented.raw_image.spacing_mm
    placed = dicom_affine(segmented.source)
    affine = plain_affine(spacing_mm) if placed is None else placed
    unit = "mm" if spacing_mm or placed is not None else "unknown"
    write_volume(path, values.T[..., None], affine, code="aligned" if placed is None else "scanner", unit=unit)


def values_of(segmented: Segmented) -> Array:
    """[rows, cols]: 1 in the foreground, a value per class, or one number per object where the model separates objects."""
    values = segmented.values
    small = segmented.prediction.labels is not None and values.max(initial=0) <= np.iinfo(np.uint16).max
    return values.astype(np.uint16) if small else values


def write_volume(path: Path, values: Array, affine: Affine, *, code: str, unit: str) -> None:
    """Write voxels in the order of the axes of ``affine``.

    Args:
        path: File to write.
        values: Of each voxel.
        affine: [4, 4], voxel → mm in RAS.
        code: NIfTI's word for what the affine leads to; without one readers ignore it.
        unit: Of the affine, as nibabel calls it.

    Raises:
        BiosegError: It could not be written.
    """
    from nibabel import Nifti1Image

    image = Nifti1Image(values, affine)
    image.set_sform(image.affine, code)
    image.set_qform(image.affine, code, strip_shears=True)
    image.header.set_xyzt_units(unit)
    files.write(path, gzip.compress(image.to_bytes(), mtime=0))


def plain_affine(spacing_mm: tuple[float, float] | None) -> Affine:
    """From voxel (column, row, 0) to mm in RAS, where nothing says how the image lies in the patient.

    The image's right is taken for the patient's left and its bottom for the patient's back, as in an axial slice on a screen;
    without spacing a pixel is 1.
    """
    rows, cols = spacing_mm or (1.0, 1.0)
    return np.diag([-cols, -rows, 1.0, 1.0])


def dicom_affine(source: Path | bytes) -> Affine | None:
    """From voxel (column, row, 0) to mm in RAS, by the header of a DICOM image; None where that does not say."""
    header = read_header(source)
    if header is None:
        return None
    position, orientation = numbers(header, "ImagePositionPatient", 3), numbers(header, "ImageOrientationPatient", 6)
    spacing = numbers(header, "PixelSpacing", 2)
    if position is None or orientation is None or spacing is None or min(spacing) <= 0:
        return None
    across, down = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(across, down)
    if not np.linalg.norm(normal):
        return None
    try:
        thickness = float(header.SliceThickness)
    except Exception:  # missing, empty or no number
        thickness = 1.0
    affine = np.eye(4)
    affine[:3, :] = np.stack([across * spacing[1], down * spacing[0], normal * (thickness or 1.0), position], axis=1)
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # DICOM's axes point to the left and to the back
