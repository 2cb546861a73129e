"""Images unlike all others of their set, by size, spacing, intensities and sharpness; and why, in words.

Each property is compared by median and MAD (robust z-scores). Nothing here is certain: it is where a person should look first.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from bioseg.datasets.case_facts import CaseFacts

OUTLIER = 6.0
"""This many robust standard deviations from the median."""
LEAST_CASES = 10
"""Fewer images than this say nothing of what is usual."""
SEVERAL_KINDS = 0.1
"""Where more than this share stands out by a property, there are several kinds of images and nothing is said of it."""


@dataclass(frozen=True)
class Outlying:
    """An image to look at.

    Attributes:
        deviation: The largest of its robust z-scores; infinite for a number of channels that others do not have.
        reasons: In plain words.
    """

    deviation: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class _Property:
    """A number of an image that is compared.

    Attributes:
        value: NaN where the image has none.
        floor: The robust standard deviation is taken to be at least this.
        words: (value of the image, the usual one) → what is unusual about it.
    """

    value: Callable[[CaseFacts], float]
    floor: float
    words: Callable[[float, float], str]


def find(facts: Mapping[str, CaseFacts]) -> dict[str, Outlying]:
    """The images that stand out, by the case's id, the furthest first."""
    if len(facts) < LEAST_CASES:
        return {}
    found: dict[str, list[tuple[float, str]]] = {}
    for one in (*_properties(list(facts.values())),):
        for name, deviation, words in _standing_out(facts, one):
            found.setdefault(name, []).append((deviation, words))
    for name, words in _other_channels(facts):
        found.setdefault(name, []).append((float("inf"), words))
    made = {
        name: Outlying(max(deviation for deviation, _ in reasons), tuple(words for _, words in sorted(reasons)[::-1]))
        for name, reasons in found.items()
    }
    return dict(sorted(made.items(), key=lambda item: -item[1].deviation))


def _properties(facts: list[CaseFacts]) -> list[_Property]:
    contrast = float(np.median([one.high - one.low for one in facts])) or 1.0
    return [
        _Property(lambda one: np.log2(one.shape[0] * one.shape[1]), 0.1, _size),
        _Property(lambda one: np.log2(one.shape[1] / one.shape[0]), 0.05, _aspect),
        _Property(lambda one: np.log2(np.mean(one.spacing_mm)) if one.spacing_mm else np.nan, 0.05, _spacing),
        _Property(lambda one: one.median, 0.06 * contrast, _brightness),
        _Property(lambda one: np.log2(max(one.high - one.low, 1e-3 * contrast)), 0.2, _contrast),
        _Property(lambda one: np.log2(one.sharpness) if one.sharpness else np.nan, 0.2, _sharpness),
    ]


def _standing_out(facts: Mapping[str, CaseFacts], one: _Property) -> list[tuple[str, float, str]]:
    """(id, deviation, words) of the images that stand out by a property."""
    values = np.array([one.value(each) for each in facts.values()])
    known = values[~np.isnan(values)]
    if len(known) < LEAST_CASES:
        return []
    usual = float(np.median(known))
    deviation = max(one.floor, 1.4826 * float(np.median(np.abs(known - usual))))
    scores = np.nan_to_num(np.abs(values - usual) / deviation)
    outside = scores > OUTLIER
    if outside.mean() > SEVERAL_KINDS:
        return []
    return [
        (name, float(score), one.words(float(value), usual))
        for name, value, score, out in zip(facts, values, scores, outside, strict=True)
        if out
    ]


def _other_channels(facts: Mapping[str, CaseFacts]) -> list[tuple[str, str]]:
    counts = Counter(one.channels for one in facts.values())
    usual = counts.most_common(1)[0][0]
    return [
        (name, f"{_channels(one.channels)}, the others {_channels(usual)}")
        for name, one in facts.items()
        if counts[one.channels] <= SEVERAL_KINDS * len(facts)
    ]


def _channels(count: int) -> str:
    return "grey" if count == 1 else f"{count} channels"


def _size(value: float, usual: float) -> str:
    factor = 2 ** abs(value - usual)
    return f"{factor:.1f} times {'as many pixels as' if value > usual else 'fewer pixels than'} usual"


def _aspect(value: float, usual: float) -> str:
    return (
        f"{'wider' if value > usual else 'taller'} than usual: width to height {2**value:.2f}, usually {2**usual:.2f}"
    )


def _spacing(value: float, usual: float) -> str:
    return f"pixels of {2**value:.3g} mm, usually {2**usual:.3g} mm"


def _brightness(value: float, usual: float) -> str:
    return f"values {'higher' if value > usual else 'lower'} than usual: median {value:,.0f}, usually {usual:,.0f}"


def _contrast(value: float, usual: float) -> str:
    words = "more contrast than usual" if value > usual else "little contrast"
    return f"{words}: {2**value:,.3g} between the 1st and 99th percentile, usually {2**usual:,.3g}"


def _sharpness(value: float, usual: float) -> str:
    factor = 2 ** (value - usual)
    return f"{'noisier or sharper' if factor > 1 else 'less sharp'} than usual: {factor:.2g} times the usual edges"
