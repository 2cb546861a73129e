"""A TIFF with a page for each class, for classes that overlap."""

import io
from pathlib import Path

import numpy as np
from tifffile import TiffWriter

from bioseg import files
from bioseg.outputs.segmented import Segmented


def write(path: Path, segmented: Segmented) -> None:
    """Write a page for each class in the recipe's order, 8 bit, 0 and 255; its name is the page's (tag 285, PageName).

    Raises:
        BiosegError: It could not be written.
    """
    tiff = io.BytesIO()
    with TiffWriter(tiff) as writer:
        for name, one in segmented.prediction.classes.items():
            page = one.mask.astype(np.uint8) * np.uint8(255)
            writer.write(page, compression="zlib", metadata=None, extratags=[(285, "s", 0, name.encode(), True)])
    files.write(path, tiff.getvalue())
