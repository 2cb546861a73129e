"""How far to trust a prediction: measures of doubt, and the score that was learned from them.

Three kinds of measure, none of which needs a truth: how far views (and networks) disagree, how unlike the learned contours
the contour is, how unlike the images learned from the image is. The score is the Dice that the first lead to expect,
times the chance that such an contour, and such an image, belongs to the kind that was learned.
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
    "disagreement": "changed a little, the image gets another contour",
    "cleanup": "stray parts had to be cleaned away",
    "shape": "a contour unlike those learned",
    "image": "an image unlike those learned from",
}
"""The measures, in the order of :func:`measure`, and what a high one means in plain words."""

DESCRIPTORS = {
    "area": ("too small", "too large"),
    "parts": ("too few parts", "too many parts"),
    "largest": ("parts too even", "largest part too dominant"),
    "second": ("second part missing or too small", "second part too large"),
    "row": ("too far up", "too far down"),
    "col": ("too far left", "too far right"),
    "height": ("too low", "too tall"),
    "width": ("too narrow", "too wide"),
    "tilt": ("tilted", "tilted"),
    "solidity": ("too ragged", "too compact"),
    "perimeter": ("too plain", "too winding"),
    "symmetry": ("too lopsided", "too symmetric"),
    "edge": ("too far from the edge", "runs into the image's edge"),
}
"""What :func:`describe` says of an contour, and the words for too little and too much of it."""

FAINT = 0.002
"""Shares below it are all the same: a few pixels more or less."""

UNKNOWN = "its quality cannot be estimated: the network's features are not finite"

REASONS = 3
"""At most so many are given."""


@dataclass(frozen=True)
class Distribution:
    """Where vectors of one kind lie: their mean and shrunken covariance, the latter by its main axes.

    Attributes:
        mean: [D].
        scale: [D], by which differences are divided first.
        axes: [K, D], orthonormal.
        spread: [K], standard deviation along each.
        rest: Standard deviation along all other directions.
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
        """Each entry's difference from the mean in units of ``scale``, [D]."""
        return np.asarray((vector - np.array(self.mean)) / np.array(self.scale))

    def distance(self, vector: Numbers) -> float:
        """Mahalanobis distance over √D, so that it is about 1 for a vector of the kind; 0 where D is 0."""
        if len(vector) != len(self.mean):
            raise BiosegError(
                f"quality model: {len(vector)} features, it was fitted on {len(self.mean)}; fit it again for this network"
            )
        if not self.mean:
            return 0.0
        offset = self.standardised(vector)
        along = np.array(self.axes).reshape(-1, len(offset)) @ offset
        beside = max(0.0, float(offset @ offset - along @ along))
        total = float(((along / np.array(self.spread)) ** 2).sum()) + beside / self.rest**2
        return float(np.sqrt(total / len(offset)))


@dataclass(frozen=True)
class Logistic:
    """1 / (1 + exp(Σ weights · measures − base)): a share in [0, 1] that no measure can raise.

    Attributes:
        base: The log odds where all measures are 0.
        weights: One a measure, 0 or more.
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
        """The share for measures [M]."""
        return float(1 / (1 + np.exp(np.clip(np.array(self.weights) @ measures - self.base, -30, 30))))


@dataclass(frozen=True)
class QualityModel:
    """What was learned of a model's images, contours and mistakes.

    Attributes:
        shapes: Of :func:`describe` of learned masks.
        images: Of the features of images learned from.
        dice: The Dice to expect, from all measures.
        in_distribution: The chance that it is such an contour, and such an image, as was learned; each by its distance alone.
        limits: What held out images hardly exceed, a number a measure.
        flag_below: A lower score is flagged.
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
        """The score in [0, 1] of a prediction and, if that is below ``flag_below``, why."""
        measures = measure(evidence, self.shapes, self.images)
        if not np.isfinite([*measures, *evidence.features]).all():
            return QualityEstimate(0.0, (UNKNOWN,))
        score = self.score(measures)
        return QualityEstimate(score, self._reasons(evidence, measures) if score < self.flag_below else ())

    def score(self, measures: Numbers) -> float:
        """The score in [0, 1] of what :func:`measure` returned."""
        return self.dice.at(measures) * float(np.prod([one.at(measures) for one in self.in_distribution]))

    def _reasons(self, evidence: Evidence, measures: Numbers) -> tuple[str, ...]:
        """What exceeds its limit, or else comes closest to it; first what lowers the score most."""
        if not evidence.mask.any():
            return ("nothing was segmented",)
        limits = np.array(self.limits)
        excess = measures - limits
        over = np.nonzero(excess >= min(0.0, excess.max()))[0]
        mended = [self.score(np.where(np.arange(len(measures)) == index, limits, measures)) for index in over]
        names = [list(MEASURES)[index] for index in over[np.argsort(mended)[::-1][:REASONS]]]
        return tuple(self._odd_contour(evidence.mask) if name == "shape" else MEASURES[name] for name in names)

    def _odd_contour(self, mask: Mask) -> str:
        """The two descriptors that are farthest off, in words."""
        off = self.shapes.standardised(describe(mask))
        words = list(DESCRIPTORS.values())
        worst = [index for index in np.argsort(-abs(off))[:2] if abs(off[index]) > 2]
        odd = ", ".join(words[index][int(off[index] > 0)] for index in worst)
        return MEASURES["shape"] + (f" ({odd})" if odd else "")


def measure(evidence: Evidence, shapes: Distribution, images: Distribution) -> Numbers:
    """One number for each of :data:`MEASURES`; more is worse. All are logarithms, so that a factor counts as a factor.

    ``uncertainty`` is 1 − the Dice that the probabilities themselves expect, ``views`` 1 − the mean Dice of single views with
    the whole, ``cleanup`` 1 − the Dice before and after clean-up, ``shape`` and ``image`` distances.
    """
    whole = evidence.probability > evidence.threshold
    shares = (
        1 - _dice(evidence.probability, whole),
        1 - float(np.mean([_dice(view > evidence.threshold, whole) for view in evidence.copies])),
        1 - _dice(evidence.mask, whole),
    )
    distances = shapes.distance(describe(evidence.mask)), images.distance(evidence.features.astype(float))
    return np.log([*(share + FAINT for share in shares), *(max(distance, 0.01) for distance in distances)])


def describe(mask: Mask) -> Numbers:
    """Thirteen numbers for the contour of a mask [rows, cols]: :data:`DESCRIPTORS`, free of the grid's size.

    Area is the logarithm of its share of the image, parts the logarithm of their number, largest and second shares of
    the mask, positions and spreads shares of a side, tilt the correlation of rows and columns, solidity the share of the
    parts' convex hulls, perimeter the logarithm of its ratio to √area, symmetry the Dice with the mirror image about the
    own centre, edge the share of the image's border inside. An empty mask is a point in the middle.
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
    """Of two masks, or of a probability and a mask (its expectation, nearly); 1 where both are empty."""
    both = float(one.sum(dtype=float)) + float(other.sum(dtype=float))
    return 2 * float(one[other].sum(dtype=float)) / both if both else 1.0
