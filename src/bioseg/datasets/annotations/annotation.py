"""An object that somebody drew, on its image's own grid."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bioseg.types import Array, BiosegError, Labels, Mask

AGAIN = "export it again"
LONGEST_NAME = 100


class Unusable(BiosegError):
    """An annotation file that no mask can be had from. The message is the value and the remedy; it does not name the file."""


@dataclass(frozen=True, eq=False)
class Annotation:
    """One object of a file. Only the part of the grid where it lies is kept.

    Attributes:
        name: Its class, as the file says; empty where it says none.
        crop: [rows, cols], True in the object.
        corner_rc: Where the first pixel of ``crop`` lies in the image.
        shape: (rows, cols) of the image.
    """

    name: str
    crop: Mask
    corner_rc: tuple[int, int]
    shape: tuple[int, int]

    @property
    def mask(self) -> Mask:
        """[rows, cols] of the image."""
        whole = np.zeros(self.shape, np.bool_)
        whole[self.box] = self.crop
        return whole

    @property
    def box(self) -> tuple[slice, slice]:
        """The place of ``crop`` in the image."""
        (row, col), (rows, cols) = self.corner_rc, self.crop.shape
        return slice(row, row + rows), slice(col, col + cols)


def of_mask(
    name: object, mask: Mask, corner_rc: tuple[int, int] = (0, 0), shape: tuple[int, int] = (0, 0)
) -> Annotation:
    """An object from its mask.

    Args:
        name: Its class.
        mask: [rows, cols].
        corner_rc: Where the mask's first pixel lies in the image; may be outside.
        shape: (rows, cols) of the image, at which the mask is clipped; (0, 0): those of ``mask``.
    """
    (row, col), (rows, cols) = corner_rc, shape if any(shape) else mask.shape
    inside = mask[max(0, -row) : max(0, rows - row), max(0, -col) : max(0, cols - col)]
    if not inside.any():
        return nothing(name, (rows, cols))
    box = ndimage.find_objects(inside.astype(np.uint8))[0]
    corner = max(row, 0) + box[0].start, max(col, 0) + box[1].start
    return Annotation(class_name(name), inside[box].copy(), corner, (rows, cols))


def nothing(name: object, shape: tuple[int, int]) -> Annotation:
    """An object without a pixel, as one beyond the image is."""
    return Annotation(class_name(name), np.zeros((0, 0), np.bool_), (0, 0), shape)


def of_labels(labels: Array) -> list[Annotation]:
    """The objects of a label image, by number: [rows, cols], whole numbers, 0 and below is background."""
    numbers, found = np.unique(np.maximum(labels, 0), return_inverse=True)
    ranks = found.reshape(labels.shape) + (numbers[0] != 0)
    return [
        Annotation("", ranks[box] == rank, (box[0].start, box[1].start), (labels.shape[0], labels.shape[1]))
        for rank, box in enumerate(ndimage.find_objects(ranks), 1)
    ]


def united(annotations: Sequence[Annotation], shape: tuple[int, int]) -> Mask:
    """[rows, cols], True in any of them."""
    union = np.zeros(shape, np.bool_)
    for one in annotations:
        union[one.box] |= one.crop
    return union


def numbered(annotations: Sequence[Annotation], shape: tuple[int, int]) -> Labels:
    """[rows, cols]: their numbers from 1 in their order; where two overlap the first is kept."""
    labels = np.zeros(shape, np.int32)
    for number, one in enumerate(annotations, 1):
        here = labels[one.box]
        here[one.crop & (here == 0)] = number
    return labels


def class_name(value: object) -> str:
    """A class's name as text of one line; empty for what is no text and no number."""
    text = str(value) if isinstance(value, str | int | float) else ""
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()[:LONGEST_NAME]


def check_size(own: tuple[object, object], shape: tuple[int, int]) -> None:
    """Hold the size of the image that an annotation was drawn on, (rows, cols), against that of the image at hand.

    Raises:
        Unusable: They differ.
    """
    if own != shape:
        rows, cols = (str(one)[:20] for one in own)
        raise Unusable(f"drawn on {rows}×{cols}, its image is {shape[0]}×{shape[1]}; draw on the image's own grid")


Points = NDArray[np.float64]
"""[vertices, 2], (x, y) in px from the image's top left corner: the centre of the first pixel is at (.5, .5)."""
