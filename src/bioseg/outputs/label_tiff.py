"""Label images as TIFF for ImageJ, Fiji and napari, with calibration."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from tifffile import imwrite

from bioseg import files
from bioseg.outputs.segmented import Segmented

MICROSCOPIC_MM = 0.01
"""Calibrations below it are given in µm."""


def write(path: Path, segmented: Segmented) -> None:
    """Write 0 in the background and one number per object, 16 bit; 32 bit where there are more than 65,535 objects.

    Where several classes and no objects are told apart, the numbers are the classes', and ImageJ's info lists their names.
    The size of a pixel is in the TIFF's resolution, and for 16 bit in ImageJ's own words ("mm" or "um") too.

    Raises:
        BiosegError: It could not be written.
    """
    by_class = segmented.several and segmented.prediction.labels is None
    labels = segmented.values if by_class else segmented.objects
    spacing_mm = segmented.raw_image.spacing_mm
    small = labels.max(initial=0) <= np.iinfo(np.uint16).max
    unit, factor = "mm", 1.0
    if spacing_mm and max(spacing_mm) < MICROSCOPIC_MM:
        unit, factor = "um", 1000.0
    about: dict[str, Any] = {"axes": "YX"}
    if by_class:
        names = enumerate(segmented.prediction.classes, 1)
        about["Info"] = "\n".join(f"{value} = {name}" for value, name in names)
    options: dict[str, Any] = {"imagej": True, "metadata": about} if small else {}
    if spacing_mm:
        rows, cols = spacing_mm
        if small:  # pixels per unit, which the description names
            options["resolution"] = (1 / (cols * factor), 1 / (rows * factor))
            options["metadata"] = about | {"unit": unit}
        else:
            options |= {"resolution": (10 / cols, 10 / rows), "resolutionunit": "CENTIMETER"}
    tiff = io.BytesIO()
    imwrite(tiff, labels.astype(np.uint16 if small else np.uint32), compression="zlib", **options)
    files.write(path, tiff.getvalue())
