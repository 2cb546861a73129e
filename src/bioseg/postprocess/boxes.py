"""From a mask to boxes with confidences."""

from dataclasses import dataclass
from typing import Annotated

from skimage.measure import label, regionprops

from bioseg.specs import Fraction, Range, check
from bioseg.types import Box, Mask, Probability


@dataclass(frozen=True)
class Boxes:
    """How boxes are drawn around the 8-connected parts of a mask.

    Attributes:
        min_area: Parts smaller than this share of the image get none.
        shrink: Share of its width and height that a box loses, its middle staying where it is.
        min_presence: An image whose probability of any foreground is below it gets none.
    """

    min_area: Fraction = 0.0
    shrink: Annotated[float, Range(0, 0.99)] = 0.0
    min_presence: Fraction = 0.0

    def __post_init__(self) -> None:
        """Refuse invalid values."""
        check(self, "postprocess.boxes")


def find_boxes(mask: Mask, probability: Probability, how: Boxes, *, whole: float = 1.0) -> tuple[Box, ...]:
    """A box a part, surest first; its confidence is the mean probability inside the box before it is shrunk.

    Args:
        mask: [rows, cols].
        probability: The same grid, [0, 1].
        how: Which boxes, and how large.
        whole: The image's own probability that there is anything in it.
    """
    if whole < how.min_presence:
        return ()
    found = [
        bounding_box(part.bbox, confidence=float(probability[part.slice].mean()), shrink=how.shrink)
        for part in regionprops(label(mask))
        if part.area >= how.min_area * mask.size
    ]
    return tuple(sorted(found, key=lambda box: -box.confidence))


def bounding_box(edges: tuple[int, int, int, int], *, confidence: float = 1.0, shrink: float = 0.0) -> Box:
    """The box of ``edges`` (top, left, bottom, right; the last two outside), smaller by ``shrink`` of each side."""
    top, left, bottom, right = edges
    width, height = right - left, bottom - top
    return Box(
        left + shrink * width / 2, top + shrink * height / 2, width * (1 - shrink), height * (1 - shrink), confidence
    )
