"""ImageJ and Fiji ROI zips: one region per object, for the ROI Manager."""

import io
import zipfile
from pathlib import Path

import numpy as np

from bioseg import files
from bioseg.outputs.polygons import Polygon, trace
from bioseg.outputs.segmented import Segmented

DATE = (1980, 1, 1, 0, 0, 0)
"""Of every entry: the same prediction gives the same bytes."""


def write(path: Path, segmented: Segmented) -> None:
    """Write one ROI per object, called by its class and number.

    An object of one part without holes is a traced polygon along the edges of its pixels, as ImageJ's wand makes it. An object
    with holes, or of parts that touch by a corner, is a composite ROI: ImageJ fills its rings by the even-odd rule, so holes
    stay holes. An image without objects has an empty zip.

    Raises:
        BiosegError: It could not be written.
    """
    found = {number: (name, one) for name, labels in segmented.by_class for number, one in trace(labels).items()}
    digits, zipped = len(str(max(found, default=0))), io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        for number, (class_name, polygons) in sorted(found.items()):
            name = f"{class_name}-{number:0{digits}d}"
            entry = zipfile.ZipInfo(f"{name}.roi", DATE)
            archive.writestr(entry, _roi(polygons, name), zipfile.ZIP_DEFLATED)
    files.write(path, zipped.getvalue())


def _roi(polygons: list[Polygon], name: str) -> bytes:
    from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi

    rings = [ring for polygon in polygons for ring in polygon]
    if len(rings) == 1:
        roi = ImagejRoi.frompoints(rings[0], name=name)
        roi.roitype, roi.options = ROI_TYPE.TRACED, roi.options & ROI_OPTIONS.SUB_PIXEL_RESOLUTION
        roi.right, roi.bottom = roi.right - 1, roi.bottom - 1  # vertices lie on edges, not in pixels
        return bytes(roi.tobytes())
    path = [part for ring in rings for part in _path(ring.tolist())]
    corners = np.concatenate(rings)
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    roi = ImagejRoi(
        roitype=ROI_TYPE.RECT, name=name, left=left, top=top, right=right, bottom=bottom, shape_roi_size=len(path),
        multi_coordinates=np.array(path, np.float32),
    )  # fmt: skip
    return bytes(roi.tobytes())


def _path(ring: list[list[int]]) -> list[int]:
    """Move to the first vertex (0), draw lines to the others (1), close (4)."""
    return [value for index, vertex in enumerate(ring) for value in (int(index > 0), *vertex)] + [4]
