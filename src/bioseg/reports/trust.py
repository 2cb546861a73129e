"""How well the estimated quality of predictions tells of their Dice."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from bioseg.evaluation.summary import Row
from bioseg.reports.figures import QUIET, TRAINING, VALIDATION, legend, subplots
from bioseg.reports.run_folder import Run

TRUST = ("quality", "flagged")
"""Columns of ``scores.csv`` that are no scores but estimates of the model."""

SHARE = 0.05
"""Share of the images set aside in the page's sentence."""


def evaluated(rows: Sequence[Row]) -> list[Row]:
    """The cases that have a Dice and an estimated quality, the lowest quality first."""
    known = [
        row for row in rows if not math.isnan(row.scores.get("dice", math.nan) + row.scores.get("quality", math.nan))
    ]
    return sorted(known, key=lambda row: row.scores["quality"])


def trust(run: Run) -> list[str]:
    """What the estimated quality says of the run's images, one sentence per item; empty where there is none."""
    rows = evaluated(run.table)
    if not rows:
        return []
    dice = np.array([row.scores["dice"] for row in rows])
    flagged = np.array([row.scores["flagged"] for row in rows]) > 0
    words = [f"The model flags {flagged.sum()} of {len(rows)} images for review."]
    if flagged.any() and not flagged.all():
        words[0] += f" Their mean Dice is {dice[flagged].mean():.3f}, that of the others {dice[~flagged].mean():.3f}."
    if len(rows) >= 1 / SHARE:
        kept = math.ceil(SHARE * len(rows))
        before, after, best = (np.percentile(some, 5) for some in (dice, dice[kept:], np.sort(dice)[kept:]))
        words.append(
            f"Without the {SHARE:.0%} of lowest quality, the 5th percentile of Dice is {after:.3f} instead of {before:.3f}; "
            f"without the {SHARE:.0%} of lowest Dice it would be {best:.3f}."
        )
    return words


def rejection(table: Sequence[Row]) -> Figure:
    """Mean and 5th percentile of Dice by the share set aside, by quality and at best; a fifth is always kept."""
    dice = np.array([row.scores["dice"] for row in evaluated(table)])
    counts = np.arange(max(1, math.ceil(0.8 * len(dice))))
    figure, axes = subplots(1, 1, width=8, height=3.4)
    axis = axes[0, 0]
    for colour, of in ((VALIDATION, np.mean), (TRAINING, lambda some: np.percentile(some, 5))):
        for values, style in ((dice, "-"), (np.sort(dice), (0, (4, 1.5)))):
            left: NDArray[np.float64] = np.array([of(values[count:]) for count in counts])
            axis.plot(100 * counts / len(dice), left, color=colour, ls=style, lw=1.8 if style == "-" else 1.2)
    axis.set(xlabel="images set aside, %", ylabel="Dice of the others")
    handles = [
        Line2D([], [], color=VALIDATION, label="mean"),
        Line2D([], [], color=TRAINING, label="5th percentile"),
        Line2D([], [], color=QUIET, label="by quality"),
        Line2D([], [], color=QUIET, ls=(0, (4, 1.5)), label="by Dice itself, the best possible"),
    ]
    legend(figure, handles)
    return figure
