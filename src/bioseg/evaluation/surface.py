"""Distances between two contours.

A mask's contour is the set of its pixels with a 4-connected neighbour in the background; beyond the image is background.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bioseg.types import Mask


def surface_distances(
    predicted: Mask, truth: Mask, *, spacing_mm: tuple[float, float] = (1.0, 1.0)
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance of each contour pixel of one mask to the nearest contour pixel of the other.

    Args:
        predicted: [rows, cols], True in the foreground.
        truth: Same grid.
        spacing_mm: Distance between pixel centres (rows, cols), mm; (1, 1) gives px.

    Returns:
        Distances from the predicted contour to the true one, and from the true one to the predicted one; both are empty if
        either mask is.

    Raises:
        ValueError: The masks differ in shape, or a spacing is not positive.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"prediction {predicted.shape} and truth {truth.shape} differ in shape")
    if min(spacing_mm) <= 0:
        raise ValueError(f"spacing {spacing_mm} mm is not positive")
    if not predicted.any() or not truth.any():
        return np.empty(0), np.empty(0)
    part = ndimage.find_objects((predicted | truth).astype(np.uint8))[0]
    contours = [_contour(mask[part]) for mask in (predicted, truth)]
    to_truth, to_predicted = (
        ndimage.distance_transform_edt(~contour, sampling=spacing_mm) for contour in reversed(contours)
    )
    return to_truth[contours[0]], to_predicted[contours[1]]


def hausdorff95(predicted: Mask, truth: Mask, *, spacing_mm: tuple[float, float] = (1.0, 1.0)) -> float:
    """The larger of the two 95th percentiles of the distances between two contours, in mm; NaN if either mask is empty.

    Arguments and errors as for :func:`surface_distances`.
    """
    there, back = surface_distances(predicted, truth, spacing_mm=spacing_mm)
    return max(_p95(there), _p95(back)) if there.size else float("nan")


def surface_dice(
    predicted: Mask, truth: Mask, *, tolerance_mm: float, spacing_mm: tuple[float, float] = (1.0, 1.0)
) -> float:
    """Share of both contours' pixels that lie within ``tolerance_mm`` of the other contour (Nikolov et al. 2021).

    Pixels are counted, not lengths. NaN if both masks are empty, 0 if one is. Other arguments and errors as for
    :func:`surface_distances`.
    """
    there, back = surface_distances(predicted, truth, spacing_mm=spacing_mm)
    return _share_within(there, back, tolerance_mm, bool(predicted.any() or truth.any()))


def surface_scores(predicted: Mask, truth: Mask, *, spacing_mm: tuple[float, float] | None) -> dict[str, float]:
    """``surface_dice`` within two pixels (2 × the larger spacing) and ``hd95_mm``, or ``hd95_px`` where spacing is unknown."""
    spacing = spacing_mm or (1.0, 1.0)
    there, back = surface_distances(predicted, truth, spacing_mm=spacing)
    return {
        "surface_dice": _share_within(there, back, 2 * max(spacing), bool(predicted.any() or truth.any())),
        "hd95_mm" if spacing_mm else "hd95_px": max(_p95(there), _p95(back)) if there.size else float("nan"),
    }


def _share_within(there: NDArray[np.float64], back: NDArray[np.float64], tolerance: float, anything: bool) -> float:
    if not there.size:
        return 0.0 if anything else float("nan")
    return float(((there <= tolerance).sum() + (back <= tolerance).sum()) / (there.size + back.size))


def _p95(distances: NDArray[np.float64]) -> float:
    return float(np.percentile(distances, 95))


def _contour(mask: Mask) -> Mask:
    return np.asarray(mask & ~ndimage.binary_erosion(mask))
