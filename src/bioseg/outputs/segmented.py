"""One predicted image, as the writers of every format take it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from skimage.measure import label

from bioseg.classes import class_of_objects
from bioseg.images.formats import RawImage
from bioseg.outputs.measure import Values, measure_objects
from bioseg.outputs.structures import Structure
from bioseg.postprocess.masks import Prediction
from bioseg.types import Array, Labels


@dataclass(frozen=True, eq=False)
class Segmented:
    """A prediction with the image it belongs to. For one thread at a time.

    Attributes:
        prediction: On the image's own grid.
        raw_image: As the file has it.
        source: The image's file, or the content of one.
        structure: What the foreground is, where there is one class.
    """

    prediction: Prediction
    raw_image: RawImage
    source: Path | bytes
    structure: Structure

    @property
    def several(self) -> bool:
        """Whether the model tells several classes apart."""
        return len(self.prediction.classes) > 1

    @cached_property
    def by_class(self) -> list[tuple[str, Labels]]:
        """The objects of each class: its name, and [rows, cols] with their numbers, which go through all classes.

        An object is what the model separates or, without that, an 8-connected component of a class.
        """
        labels, classes = self.prediction.labels, self.prediction.classes
        if not self.several:
            return [
                (self.structure.name, np.asarray(label(self.prediction.mask), np.int32) if labels is None else labels)
            ]
        masks, names = np.stack([one.mask for one in classes.values()]), list(classes)
        if labels is not None:
            own = np.append(-1, class_of_objects(labels, masks))[labels]
            return [(name, np.where(own == index, labels, 0)) for index, name in enumerate(names)]
        found, count = list[tuple[str, Labels]](), 0
        for name, mask in zip(names, masks, strict=True):
            parts = np.asarray(label(mask), np.int32)
            found.append((name, np.where(parts > 0, parts + count, 0)))
            count += int(parts.max(initial=0))
        return found

    @cached_property
    def objects(self) -> Labels:
        """[rows, cols], the objects of all classes; where classes overlap, the last of them."""
        objects = np.zeros(self.prediction.mask.shape, np.int32)
        for _, labels in self.by_class:
            np.copyto(objects, labels, where=labels > 0)
        return objects

    @cached_property
    def class_of(self) -> dict[object, str]:
        """The class of each object, by its number."""
        return {number: name for name, labels in self.by_class for number in np.unique(labels).tolist() if number}

    @property
    def values(self) -> Array:
        """[rows, cols] for a label image: objects that the model separates, else classes, else 1 in the foreground."""
        if self.prediction.labels is not None:
            return self.objects
        return self.prediction.class_map if self.several else self.prediction.mask.astype(np.uint8)

    @cached_property
    def measured(self) -> list[Values]:
        """The measurements of every object, see :func:`bioseg.outputs.measure.measure_objects`."""
        return measure_objects(self.objects, self.raw_image)

    @property
    def rows(self) -> list[Values]:
        """The same, and of several classes each object's at the end."""
        return [(*row, self.class_of[row[0]]) if self.several else row for row in self.measured]
