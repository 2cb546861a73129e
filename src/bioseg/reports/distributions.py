"""Distributions as a few bars, placed for a page to draw."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

BARS = 24
DISTINCT = 6
"""Up to so many different values have a line each."""
WIDE = 50.0
"""Where the largest value is more than this many times the smallest, the bars are of equal ratio."""
HEIGHT = 100

Words = Callable[[float], str]


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram, in a drawing of 1000 × :data:`HEIGHT`.

    Attributes:
        left: Where it begins.
        width: How wide it is.
        height: How high.
        label: In words.
    """

    left: float
    width: float
    height: float
    label: str


@dataclass(frozen=True)
class Distribution:
    """A property of all images: either bars, or a few lines of (value, share, count).

    Attributes:
        title: What it is of.
        summary: In words, for those who do not see the drawing.
        bars: Of a histogram.
        ends: The smallest and the largest value, in words.
        lines: (value, share of 1, in words).
        note: A sentence below; may be empty.
    """

    title: str
    summary: str
    bars: tuple[Bar, ...] = ()
    ends: tuple[str, str] = ("", "")
    lines: tuple[tuple[str, float, str], ...] = ()
    note: str = ""


def shares(title: str, parts: Sequence[tuple[str, float]], note: str = "") -> Distribution:
    """Parts of a whole, each with its share of 1."""
    lines = tuple((name, share, f"{share:.1%}") for name, share in parts)
    return Distribution(title, ", ".join(f"{name} {text}" for name, _, text in lines), lines=lines, note=note)


def counts(title: str, names: Sequence[str], note: str = "") -> Distribution:
    """How many images have which value; the most frequent first, rare ones together."""
    found = Counter(names).most_common()
    shown = found if len(found) <= DISTINCT else found[: DISTINCT - 1]
    if rest := sum(count for _, count in found[len(shown) :]):
        shown = [*shown, (f"{len(found) - len(shown)} others", rest)]
    return _lines(title, shown, note)


def histogram(title: str, values: Sequence[float], words: Words, note: str = "") -> Distribution:
    """The distribution of a number; where it has few values, how many images have each.

    Args:
        title: What it is of.
        values: At least one, all finite.
        words: A value in words, with its unit.
        note: A sentence below.
    """
    array = np.asarray(values, float)
    if len(np.unique(array)) <= DISTINCT:
        return _lines(title, [*Counter(words(value) for value in sorted(values)).items()], note)
    low, high, middle = float(array.min()), float(array.max()), float(np.median(array))
    by_ratio = low > 0 and high / low > WIDE
    edges = np.geomspace(low, high, BARS + 1) if by_ratio else np.linspace(low, high, BARS + 1)
    edges[0], edges[-1] = low, high
    found, _ = np.histogram(array, edges)
    width = 1000 / BARS
    bars = tuple(
        Bar(
            round(place * width + 1.5, 1),
            round(width - 3, 1),
            round(max(2.0, HEIGHT * int(count) / int(found.max())), 1),  # a single image among thousands is seen
            f"{words(float(edges[place]))} to {words(float(edges[place + 1]))}: {count:,}",
        )
        for place, count in enumerate(found)
        if count
    )
    summary = f"{words(low)} to {words(high)}, median {words(middle)}"
    return Distribution(title, summary, bars, (words(low), words(high)), note=note)


def _lines(title: str, found: Sequence[tuple[str, int]], note: str) -> Distribution:
    total = sum(count for _, count in found)
    lines = tuple((name, count / total, f"{count:,}") for name, count in found)
    return Distribution(title, ", ".join(f"{name}: {text}" for name, _, text in lines), lines=lines, note=note)
