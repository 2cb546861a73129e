"""What a model is meant for: how its images were taken, and the ranges in which its training images and masks lie.

What lies outside is flagged, never refused. The ranges are of plain numbers of an image and its mask, so that every flag can be
said in words; how a contour looks and how sure it is belongs to :mod:`bioseg.quality.model`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bioseg.images.prepare import Preparation, fixed_window, place
from bioseg.images.raw_image import Acquisition, RawImage
from bioseg.postprocess.masks import Prediction
from bioseg.specs import check
from bioseg.types import BiosegError, ImageArray, Labels, Mask

WORDS = {
    "lowest": ("values far below those trained on", "no values as low as those trained on"),
    "highest": ("no values as high as those trained on", "values far above those trained on"),
    "dark": ("dark parts darker than in training", "dark parts brighter than in training"),
    "median": ("image darker than in training", "image brighter than in training"),
    "bright": ("bright parts darker than in training", "bright parts brighter than in training"),
    "contrast": ("less contrast than in training", "more contrast than in training"),
    "texture": ("image smoother than in training", "image noisier than in training"),
    "colour": ("less colour than in training", "more colour than in training"),
    "area": ("area smaller than in training", "area larger than in training"),
    "count": ("fewer objects than in training", "more objects than in training"),
    "certainty": ("the network is unsure of the contour", "the network is surer of the contour than in training"),
}
"""The measures, and what a value below and above its range means."""

EMPTY = "nothing was segmented"
REASONS = 3
"""At most this many ranges are named."""
FAINT = 1e-5
"""Added to the share of the area before its logarithm."""

Measures = dict[str, float]


@dataclass(frozen=True)
class Interval:
    """The usual values of one measure.

    Attributes:
        measure: One of :data:`WORDS`.
        low: The least.
        high: The greatest.
    """

    measure: str
    low: float
    high: float

    def __post_init__(self) -> None:
        """Refuse invalid values."""
        check(self, "")
        if self.measure not in WORDS:
            raise BiosegError(f"measure: {self.measure!r}; choose of {', '.join(WORDS)}")
        if not self.low <= self.high:
            raise BiosegError(f"low, high: {self.low} … {self.high}; give the lower one first")

    def excess(self, value: float) -> float:
        """How far a value lies outside, in widths of the interval: below 0 under it, above 0 over it, 0 in it."""
        beyond = min(0.0, value - self.low) + max(0.0, value - self.high)
        return beyond / max(self.high - self.low, 1e-9)


@dataclass(frozen=True)
class Applicability:
    """The images a model is meant for; an empty tuple: of this kind all.

    Attributes:
        modalities: As in a DICOM header: ``CT`` …
        body_parts: The body part of a header has one of these words in it: ``CHEST`` …
        views: See :class:`bioseg.images.raw_image.Acquisition`.
        may_be_empty: Whether an image without foreground is nothing unusual.
        ranges: Usual values of images and masks.
    """

    modalities: tuple[str, ...] = ()
    body_parts: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    may_be_empty: bool = True
    ranges: tuple[Interval, ...] = ()

    def __post_init__(self) -> None:
        """Refuse invalid values."""
        check(self, "")

    def reasons(
        self, raw_image: RawImage, image: ImageArray, prediction: Prediction, how: Preparation
    ) -> tuple[str, ...]:
        """Why a person should review a prediction, in plain words; empty where nothing is unusual.

        Args:
            raw_image: As the file has it.
            image: [channels, rows, cols] in [0, 1], as the network was given it.
            prediction: On any grid.
            how: The model's preparation.
        """
        found = self._of_header(raw_image.acquisition or Acquisition())
        if not prediction.mask.any() and not self.may_be_empty:
            found.append(EMPTY)
        if self.ranges:
            found += self._of_ranges(
                measure_image(raw_image, image, how) | measure_mask(prediction.mask, prediction.labels, how)
                | measure_certainty(prediction)
            )  # fmt: skip
        return tuple(found)

    def _of_header(self, given: Acquisition) -> list[str]:
        found = []
        if self.modalities and given.modality not in ("", "OT", *self.modalities):
            found.append(f"{given.modality} given, trained on {', '.join(self.modalities)}")
        if self.body_parts and given.body_part and not any(word in given.body_part for word in self.body_parts):
            found.append(f"body part {given.body_part}, trained on {self.body_parts[0]}")
        if self.views and given.view not in ("", *self.views):
            found.append(f"view {given.view}, trained on {', '.join(self.views)}")
        return found

    def _of_ranges(self, measured: Measures) -> list[str]:
        """The farthest off first."""
        off = {one.measure: one.excess(measured[one.measure]) for one in self.ranges if one.measure in measured}
        worst = sorted((name for name in off if off[name]), key=lambda name: -abs(off[name]))
        return [WORDS[name][int(off[name] > 0)] for name in worst[:REASONS]]


def is_calibrated(how: Preparation) -> bool:
    """Whether stored values mean the same in every image, as Hounsfield units do: the window is a fixed one."""
    return bool(how.intensity) and how.intensity[0].function is fixed_window


def measure_image(raw_image: RawImage, image: ImageArray, how: Preparation) -> Measures:
    """The measures of an image.

    ``lowest`` and ``highest``: 1st and 99th percentile of the rescaled values, where these mean something. Of the prepared
    values: ``dark``, ``median`` and ``bright``, the 5th, 50th and 95th percentile; ``contrast``, their standard deviation;
    ``texture``, the mean difference of neighbours as a share of that; ``colour``, the mean range of a pixel's channels.
    """
    top, left, rows, cols = place((raw_image.pixels.shape[0], raw_image.pixels.shape[1]), how).inner
    image = image[:, top : top + rows, left : left + cols]  # without padding
    grey = image.mean(axis=0)
    dark, median, bright = np.percentile(grey, (5, 50, 95)).tolist()
    contrast = float(grey.std())
    steps = [float(np.abs(np.diff(grey, axis=axis)).mean()) if grey.shape[axis] > 1 else 0.0 for axis in (0, 1)]
    found = {
        "dark": dark, "median": median, "bright": bright, "contrast": contrast,
        "texture": sum(steps) / 2 / max(contrast, 1e-3),
    }  # fmt: skip
    if len(image) > 1:
        found["colour"] = float(np.ptp(image, axis=0).mean())
    if is_calibrated(how):
        found |= dict(zip(("lowest", "highest"), _extremes(raw_image), strict=True))
    return found


def measure_mask(mask: Mask, labels: Labels | None, how: Preparation) -> Measures:
    """The measures of a mask [rows, cols] with foreground; none of an empty one.

    ``area``: logarithm of its share of the image. ``count``: logarithm of 1 + the number of objects or 8-connected components;
    where images are cut into patches, of their number per 100 × 100 px.
    """
    if not mask.any():
        return {}
    count = len(np.unique(labels[labels > 0])) if labels is not None else ndimage.label(mask, np.ones((3, 3)))[1]
    density = count / mask.size * 10_000 if how.fit == "patches" else count
    return {"area": float(np.log(mask.mean() + FAINT)), "count": float(np.log1p(density))}


def measure_certainty(prediction: Prediction) -> Measures:
    """``certainty``: Dice of a mask with its own probabilities, about the Dice that the network expects; none if it is empty."""
    mask, probability = prediction.mask, prediction.probability
    if not mask.any():
        return {}
    both = float(mask.sum()) + float(probability.sum(dtype=float))
    return {"certainty": 2 * float(probability[mask].sum(dtype=float)) / both}


def _extremes(raw_image: RawImage) -> list[float]:
    pixels: NDArray[np.float64] = np.percentile(np.nan_to_num(raw_image.pixels.astype(float)), (1, 99))
    return sorted((pixels * raw_image.slope + raw_image.intercept).tolist())
