"""What masks show: one class, several classes, or objects numbered one by one."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bioseg.classes import Classes
from bioseg.datasets import annotations, class_names
from bioseg.datasets import cases as reading
from bioseg.images import formats
from bioseg.types import BiosegError, Case, Mask

MOST_CLASSES = 32
"""Values of a label image beyond these are numbers of objects."""
OVERLAP = 0.01
"""Classes that share more than this part of the smaller one's area overlap on purpose."""


@dataclass(frozen=True)
class Shown:
    """What one case's ground truth shows.

    Attributes:
        names: Of its classes, in order; empty where no class is named.
        overlaps: Whether two of them share more of their area than chance.
        values: Of a label image without names, the values above 0; empty where it is a mask.
        objects: How many 8-connected components these values have.
    """

    names: tuple[str, ...] = ()
    overlaps: bool = False
    values: tuple[int, ...] = ()
    objects: int = 0


@dataclass(frozen=True)
class Kind:
    """What the masks of a data set show.

    Attributes:
        what: ``binary``, ``classes`` or ``instances``.
        classes: What a recipe for them names.
        reason: In words.
    """

    what: Literal["binary", "classes", "instances"]
    classes: Classes
    reason: str


def look(case: Case, shape: tuple[int, int]) -> Shown:
    """What a case's ground truth shows, on its image's grid of ``shape`` (rows, cols).

    Raises:
        BiosegError: See :func:`bioseg.datasets.cases.each_part`.
    """
    told = case.mask_classes or case.label_values or any(map(annotations.format_of, case.masks))
    if len(case.masks) != 1 and not told:
        return Shown()  # parts of one class, or a file for each object
    masks: dict[str, Mask] = {}
    for part in reading.each_part(case, shape):
        if part.name:
            masks[part.name] = masks[part.name] | part.mask if part.name in masks else part.mask
    if masks:
        return Shown(tuple(masks), _overlap(list(masks.values())))
    if len(case.masks) == 1 and (
        case.masks[0].suffix.lower() in formats.SUFFIXES - set(reading.LOSSY) or annotations.format_of(case.masks[0])
    ):
        labels = reading.read_labels(case, shape)
        values = np.unique(labels[labels > 0])
        if len(values) > 1 or (len(values) and 1 < values[0] < 255):
            return Shown(values=tuple(values.tolist()), objects=_components(labels))
    return Shown()


def of_cases(cases: Sequence[Case], most: int = 48) -> Kind:
    """What the masks of a data set show, from at most ``most`` of its cases, evenly spread; unreadable ones say nothing."""
    seen = []
    for index in sorted(set(np.linspace(0, len(cases) - 1, min(most, len(cases))).astype(int))):
        with suppress(BiosegError):
            rows, cols = reading.read_image(cases[index]).pixels.shape[:2]
            seen.append(look(cases[index], (rows, cols)))
    return conclude(seen, class_names.names_of([one for case in cases[:1] for one in case.label_values]))


def conclude(seen: Sequence[Shown], order: Sequence[str] = ()) -> Kind:
    """What a data set shows, from some of its cases.

    Label images without names are of objects where every value is one component and their number differs from image to image,
    and of classes where values recur in several pieces, or are the same everywhere.

    Args:
        seen: Of each case.
        order: Of the classes' names, where a table says it.
    """
    found = Counter(name for one in seen for name in one.names)
    names = (*(name for name in order if name in found), *sorted(set(found) - set(order)))
    if len(names) > 1:
        overlap = any(one.overlaps for one in seen)
        how = "that overlap: each is decided by itself" if overlap else "that exclude each other"
        return Kind("classes", Classes(names, exclusive=not overlap), f"{len(names)} classes {how}: {', '.join(names)}")
    values = sorted({value for one in seen for value in one.values})
    if len(values) < 2:
        return Kind("binary", Classes(), "one class: foreground and background")
    counts = {len(one.values) for one in seen}
    pieces = sum(one.objects for one in seen) / max(1, sum(len(one.values) for one in seen))
    most = max(counts)
    if len(values) > MOST_CLASSES or (most > 2 and len(counts) > 1 and pieces < 1.1):
        return Kind("instances", Classes(), f"instance labels: a number for each object, up to {most} in an image")
    classes = Classes(tuple(f"class {value}" for value in values))
    shown = ", ".join(map(str, values))
    return Kind(
        "classes", classes, f"{len(classes.names)} classes without names, from the values {shown} of label images"
    )


def _overlap(masks: Sequence[Mask]) -> bool:
    areas = [int(mask.sum()) for mask in masks]
    return any(
        (first & masks[other]).sum() > OVERLAP * max(1, min(areas[index], areas[other]))
        for index, first in enumerate(masks)
        for other in range(index)
    )


def _components(labels: np.ndarray[tuple[int, ...], np.dtype[np.int32]]) -> int:
    """8-connected components of equal value."""
    from skimage.measure import label

    return int(label(labels, background=0).max())
