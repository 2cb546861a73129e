"""From a mask to bounding boxes with confidences."""

from dataclasses import dataclass
from typing import Annotated

from skimage.measure import label, regionprops

from bioseg.specs import Fraction, Range, check
from bioseg.types import Box, Mask, Probability


@dataclass(frozen=True)
class Boxes:
    """How bounding boxes are made of the 8-connected components of a mask.

    Attributes:
        min_area: Components smaller than this share of the image get no box.
        shrink: Share of its width and height by which a box is made smaller about its centre.
        min_presence: An image with a lower probability of any foreground gets no box.
    """

    min_area: Fraction = 0.0
    shrink: Annotated[float, Range(0, 0.99)] = 0.0
    min_presence: Fraction = 0.0

    def __post_init__(self) -> None:
        """Refuse invalid values."""
        check(self, "postprocess.boxes")


def find_boxes(mask: Mask, probability: Probability, how: Boxes, *, presence: float = 1.0) -> tuple[Box, ...]:
    """One box per component, highest confidence first: the mean probability in the box before it is shrunk.

    Args:
        mask: [rows, cols].
        probability: Same grid, [0, 1].
        how: Which boxes, and how large.
        presence: Probability that there is any foreground in the image.
    """
    if presence < how.min_presence:
        return ()
    found = [
        bounding_box(part.bbox, confidence=float(probability[part.slice].mean()), shrink=how.shrink)
        for part in regionprops(label(mask))
        if part.area >= how.min_area * mask.size
    ]
    return tuple(sorted(found, key=lambda box: -box.confidence))


def bounding_box(edges: tuple[int, int, int, int], *, confidence: float = 1.0, shrink: float = 0.0) -> Box:
    """The box of ``edges`` (top, left, bottom, right; the last two exclusive), smaller by the share ``shrink``."""
    top, left, bottom, right = edges
    width, height = right - left, bottom - top
    return Box(
        left + shrink * width / 2, top + shrink * height / 2, width * (1 - shrink), height * (1 - shrink), confidence
    )
