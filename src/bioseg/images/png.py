"""Masks, labels and probabilities written as PNG: whole or not at all."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from bioseg import files
from bioseg.types import Array, BiosegError, Labels, Mask, Probability


def write_mask(path: Path, mask: Mask) -> None:
    """Write an 8-bit grey PNG, 255 in the foreground and 0 in the background.

    Raises:
        BiosegError: It could not be written.
    """
    write_bytes(path, mask.astype(np.uint8) * np.uint8(255))


def write_labels(path: Path, labels: Labels) -> None:
    """Write a 16-bit PNG, 0 in the background and one number per object.

    Raises:
        BiosegError: It could not be written, or there are more than 65,535 objects.
    """
    if labels.max(initial=0) > np.iinfo(np.uint16).max:
        raise BiosegError(f"{path}: {labels.max()} objects; a PNG numbers at most 65,535: cut the image into tiles")
    write_bytes(path, labels.astype(np.uint16))


def write_probability(path: Path, probability: Probability) -> None:
    """Write a 16-bit grey PNG, 65535 for 1.

    Raises:
        BiosegError: It could not be written.
    """
    write_bytes(path, np.rint(np.clip(probability, 0, 1) * 65535).astype(np.uint16))


def write_bytes(path: Path, values: Array) -> None:
    """Write uint8 or uint16 [rows, cols], or uint8 [rows, cols, 3], as they are.

    Raises:
        BiosegError: It could not be written.
    """
    png = io.BytesIO()
    Image.fromarray(values).save(png, "PNG")
    files.write(path, png.getvalue())
