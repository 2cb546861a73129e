"""The quality model: estimates the quality of a prediction without ground truth, and says why a prediction is flagged.

It measures three things: how far augmented copies and networks disagree, how unlike the training contours the contour is, and
how unlike the training images the image is. The score is the Dice expected from all measures, times the probabilities that the
contour and the image are in distribution.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import regionprops

from bioseg.inference.predictor import Evidence
from bioseg.specs import Fraction, NonNegative, Positive, check
from bioseg.types import BiosegError, Mask, QualityEstimate

Numbers = NDArray[np.float64]

MEASURES = {
    "uncertainty": "the network is unsure of the contour",
    "disagreement": "small changes of the image change the contour",
    "cleanup": "postprocessing changed much of the mask",
    "shape": "the contour is unlike the training contours",
    "image": "the image is unlike the training images",
}
"""The measures, in the order of :func:`measure`, and what a high one means."""

DESCRIPTORS = {
    "area": ("too small", "too large"),
    "parts": ("too few components", "too many components"),
    "largest": ("largest component too small", "largest component too large"),
    "second": ("second component missing or too small", "second component too large"),
    "row": ("too high in the image", "too low in the image"),
    "col": ("too far left", "too far right"),
    "height": ("too short", "too tall"),
    "width": ("too narrow", "too wide"),
    "tilt": ("tilted", "tilted"),
    "solidity": ("too irregular", "too convex"),
    "perimeter": ("contour too smooth", "contour too irregular"),
    "symmetry": ("too asymmetric", "too symmetric"),
    "edge": ("too little at the image border", "cut off by the image border"),
}
"""The shape descriptors, in the order of :func:`describe`, and the words for a low and for a high one."""

FAINT = 0.002
"""Added to shares before their logarithm: smaller ones, a few pixels, are all the same."""

REASONS = 3
"""At most this many are given."""


@dataclass(frozen=True)
class Distribution:
    """Mean and shrunken covariance of vectors, the covariance by its principal axes.

    Attributes:
        mean: [D]; D may be 0.
        scale: [D], above 0; differences are divided by it first.
        axes: [K, D], orthonormal.
        spread: [K], above 0; standard deviation along each axis.
        rest: Above 0; standard deviation along all other directions.
    """

    mean: tuple[float, ...]
    scale: tuple[Positive, ...]
    axes: tuple[tuple[float, ...], ...]
    spread: tuple[Positive, ...]
    rest: Positive

    def __post_init__(self) -> None:
        """Refuse invalid values, and lengths that do not fit each other."""
        check(self, "")
        if {len(self.scale), *map(len, self.axes)} - {len(self.mean)}:
            raise BiosegError(
                f"scale, axes: not of length {len(self.mean)} as the mean is; fit the quality model again"
            )
        if len(self.spread) != len(self.axes):
            raise BiosegError(
                f"spread: {len(self.spread)} values for {len(self.axes)} axes; fit the quality model again"
            )

    def standardised(self, vector: Numbers) -> Numbers:
        """The difference from the mean in units of ``scale``, [D]."""
        return np.asarray((vector - np.array(self.mean)) / np.array(self.scale))

    def distance(self, vector: Numbers) -> float:
        """Mahalanobis distance over √D, about 1 for a vector of this distribution; 0 where D is 0."""
        if len(vector) != len(self.mean):
            raise BiosegError(
                f"quality model: {len(vector)} features, it was fitted on {len(self.mean)}; fit it again for this network"
            )
        if not self.mean:
            return 0.0
        offset = self.standardised(vector)
        along = np.array(self.axes).reshape(-1, len(offset)) @ offset
        other = np.maximum(0.0, offset @ offset - along @ along)  # a NaN stays one
        total = float(((along / np.array(self.spread)) ** 2).sum()) + other / self.rest**2
        return float(np.sqrt(total / len(offset)))


@dataclass(frozen=True)
class Logistic:
    """1 / (1 + exp(Σ weights · measures − base)): in [0, 1], and falling with every measure.

    Attributes:
        base: The log odds where all measures are 0.
        weights: One per measure, 0 or more.
    """

    base: float
    weights: tuple[NonNegative, ...]

    def __post_init__(self) -> None:
        """Refuse invalid values, and another number of weights than there are measures."""
        check(self, "")
        if len(self.weights) != len(MEASURES):
            raise BiosegError(
                f"weights: {len(self.weights)} values for {len(MEASURES)} measures; fit the quality model again"
            )

    def at(self, measures: Numbers) -> float:
        """The value for measures [M]."""
        return float(1 / (1 + np.exp(np.clip(np.array(self.weights) @ measures - self.base, -30, 30))))


@dataclass(frozen=True)
class QualityModel:
    """Estimates the quality of a model's predictions; made by :func:`bioseg.quality.fit.fit_quality`.

    Attributes:
        shapes: Of :func:`describe` of the training masks.
        images: Of the features of the training images.
        dice: The expected Dice, from all measures.
        in_distribution: The probability that the contour, and that the image, is in distribution; each by its distance alone.
        limits: One per measure, which few validation images exceed.
        flag_below: Lower scores are flagged.
    """

    shapes: Distribution
    images: Distribution
    dice: Logistic
    in_distribution: tuple[Logistic, ...]
    limits: tuple[float, ...]
    flag_below: Fraction

    def __post_init__(self) -> None:
        """Refuse invalid values, and another number of them than there are measures or descriptors."""
        check(self, "")
        if len(self.limits) != len(MEASURES):
            raise BiosegError(
                f"limits: {len(self.limits)} values for {len(MEASURES)} measures; fit the quality model again"
            )
        if len(self.shapes.mean) != len(DESCRIPTORS):
            raise BiosegError(
                f"shapes: of length {len(self.shapes.mean)}, not {len(DESCRIPTORS)}; fit the quality model again"
            )

    def estimate(self, evidence: Evidence) -> QualityEstimate:
        """The score in [0, 1] of a prediction and, if that is below ``flag_below``, why.

        Evidence that is not finite has the score 0 and is flagged.

        Raises:
            BiosegError: The network has another number of features than the one the model was fitted on.
        """
        parts = {"copies": evidence.copies, "probability": evidence.probability, "features": evidence.features}
        if bad := [name for name, values in parts.items() if not np.isfinite(values).all()]:
            return QualityEstimate(
                0.0, (f"quality cannot be estimated: the network's {' and '.join(bad)} are not finite",)
            )
        measures = measure(evidence, self.shapes, self.images)
        score = self.score(measures)
        return QualityEstimate(score, self._reasons(evidence, measures) if score < self.flag_below else ())

    def score(self, measures: Numbers) -> float:
        """The score in [0, 1] of what :func:`measure` returned, all finite."""
        return self.dice.at(measures) * float(np.prod([one.at(measures) for one in self.in_distribution]))

    def _reasons(self, evidence: Evidence, measures: Numbers) -> tuple[str, ...]:
        """Measures above their limit, or else the one closest to it; first what lowers the score most."""
        if not evidence.mask.any():
            return ("nothing was segmented",)
        limits = np.array(self.limits)
        excess = measures - limits
        over = np.nonzero(excess >= min(0.0, excess.max()))[0]
        without = [self.score(np.where(np.arange(len(measures)) == index, limits, measures)) for index in over]
        names = [list(MEASURES)[index] for index in over[np.argsort(without)[::-1][:REASONS]]]
        return tuple(self._odd_shape(evidence.mask) if name == "shape" else MEASURES[name] for name in names)

    def _odd_shape(self, mask: Mask) -> str:
        """With the two descriptors that are farthest from the training contours, if they are far."""
        off = self.shapes.standardised(describe(mask))
        words = list(DESCRIPTORS.values())
        worst = [index for index in np.argsort(-abs(off))[:2] if abs(off[index]) > 2]
        odd = ", ".join(words[index][int(off[index] > 0)] for index in worst)
        return MEASURES["shape"] + (f" ({odd})" if odd else "")


def measure(evidence: Evidence, shapes: Distribution, images: Distribution) -> Numbers:
    """One number for each of :data:`MEASURES`; a higher one is worse. All are logarithms.

    ``uncertainty`` is 1 − the Dice expected from the probabilities themselves, ``disagreement`` 1 − the mean Dice of the single
    copies with their mean, ``cleanup`` 1 − the Dice of the mask before and after postprocessing, ``shape`` and ``image`` are
    the Mahalanobis distances of the contour and of the image.
    """
    mean = evidence.probability > evidence.threshold
    shares = (
        1 - _dice(evidence.probability, mean),
        1 - float(np.mean([_dice(copy > evidence.threshold, mean) for copy in evidence.copies])),
        1 - _dice(evidence.mask, mean),
    )
    distances = shapes.distance(describe(evidence.mask)), images.distance(evidence.features.astype(float))
    return np.log([*(share + FAINT for share in shares), *np.maximum(distances, 0.01)])  # a NaN stays one


def describe(mask: Mask) -> Numbers:
    """Thirteen shape descriptors of a mask [rows, cols], see :data:`DESCRIPTORS`; they do not depend on the grid's size.

    ``area``: logarithm of the share of the image. ``parts``: logarithm of the number of 8-connected components. ``largest``,
    ``second``: their shares of the mask. ``row``, ``col``, ``height``, ``width``: mean and standard deviation of the pixels'
    positions, as shares of a side. ``tilt``: correlation of rows and columns. ``solidity``: area over that of the components'
    convex hulls. ``perimeter``: logarithm of its ratio to √area. ``symmetry``: Dice with the mask mirrored left to right about
    its centre. ``edge``: share of the image's border that is foreground. An empty mask counts as a point in the middle.
    """
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    if not count:
        return np.array([np.log(1 / mask.size), 0, 0, 0, 0.5, 0.5, 0, 0, 0, 0, 0, 0, 0])
    parts = sorted(regionprops(labels), key=lambda part: -part.area)
    areas = np.array([part.area for part in parts])
    total = areas.sum()
    rows, cols = ((at + 0.5) / side for at, side in zip(np.nonzero(mask), mask.shape, strict=True))
    spread = rows.std() * cols.std()
    mirrored = np.roll(mask[:, ::-1], round((2 * cols.mean() - 1) * mask.shape[1]), axis=1)
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return np.array(
        [
            np.log(total / mask.size),
            np.log(count),
            areas[0] / total,
            areas[1] / total if count > 1 else 0.0,
            rows.mean(),
            cols.mean(),
            rows.std(),
            cols.std(),
            ((rows - rows.mean()) * (cols - cols.mean())).mean() / spread if spread else 0.0,
            total / sum(part.area_convex for part in parts),
            np.log(max(1.0, sum(part.perimeter for part in parts)) / np.sqrt(total)),
            _dice(mask, mirrored),
            border.mean(),
        ]
    )


def _dice(one: NDArray[np.generic], other: Mask) -> float:
    """Dice of two masks, or of a probability and a mask, close to the expected Dice; 1 where both are empty."""
    both = float(one.sum(dtype=float)) + float(other.sum(dtype=float))
    return 2 * float(one[other].sum(dtype=float)) / both if both else 1.0
