"""Label images as TIFF for ImageJ, Fiji and napari, with calibration."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from tifffile import imwrite

from bioseg import files
from bioseg.outputs.measure import MICROSCOPIC_MM
from bioseg.outputs.segmented import Segmented


def write(path: Path, segmented: Segmented) -> None:
    """Write 0 in the background and one number per object, 16 bit; 32 bit where there are more than 65,535 objects.

    Where several classes and no objects are told apart, the numbers are the classes', and ImageJ's info lists their names.
    The size of a pixel is written as ImageJ does, in mm or µm; for 32 bit, which ImageJ's own TIFF has not, as OME-TIFF.

    Raises:
        BiosegError: It could not be written.
    """
    by_class = segmented.several and segmented.prediction.labels is None
    labels = segmented.values if by_class else segmented.objects
    spacing_mm = segmented.raw_image.spacing_mm
    small = labels.max(initial=0) <= np.iinfo(np.uint16).max
    unit, factor = ("um", 1000.0) if spacing_mm and max(spacing_mm) < MICROSCOPIC_MM else ("mm", 1.0)
    metadata: dict[str, Any] = {"axes": "YX"}
    if by_class:
        names = enumerate(segmented.prediction.classes, 1)
        metadata["Info"] = "\n".join(f"{value} = {name}" for value, name in names)
    options: dict[str, Any] = {"imagej": True} if small else {"ome": True}
    if spacing_mm:
        rows, cols = (side * factor for side in spacing_mm)
        if small:  # pixels per unit, which the description names
            options["resolution"] = (1 / cols, 1 / rows)
            metadata["unit"] = unit
        else:
            word = {"um": "µm"}.get(unit, unit)
            metadata |= {
                "PhysicalSizeX": cols,
                "PhysicalSizeXUnit": word,
                "PhysicalSizeY": rows,
                "PhysicalSizeYUnit": word,
            }
    tiff = io.BytesIO()
    imwrite(tiff, labels.astype(np.uint16 if small else np.uint32), compression="zlib", metadata=metadata, **options)
    files.write(path, tiff.getvalue())
