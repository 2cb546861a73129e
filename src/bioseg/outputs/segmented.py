"""One predicted image, as the writers of every format take it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from skimage.measure import label

from bioseg.images.formats import RawImage
from bioseg.outputs.measure import Values, measure_objects
from bioseg.outputs.structures import Structure
from bioseg.postprocess.masks import Prediction
from bioseg.types import Labels


@dataclass(frozen=True, eq=False)
class Segmented:
    """A prediction with the image it belongs to. For one thread at a time.

    Attributes:
        prediction: On the image's own grid.
        raw_image: As the file has it.
        source: The image's file, or the content of one.
        structure: What the foreground is.
    """

    prediction: Prediction
    raw_image: RawImage
    source: Path | bytes
    structure: Structure

    @cached_property
    def objects(self) -> Labels:
        """[rows, cols], one number per object; without a model that separates objects, per 8-connected component."""
        if self.prediction.labels is not None:
            return self.prediction.labels
        return np.asarray(label(self.prediction.mask), np.int32)

    @cached_property
    def measured(self) -> list[Values]:
        """The measurements of every object, see :func:`bioseg.outputs.measure.measure_objects`."""
        return measure_objects(self.objects, self.raw_image)
