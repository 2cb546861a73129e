"""Figures of a CycleGAN; otherwise as :mod:`bioseg.reports.figures`."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bioseg.reports import figures
from bioseg.reports.figures import Journal
from bioseg.types import ImageArray

PARTS = (
    ("cycle", "Cycle, training", figures.TRAINING, "-"),
    ("monitored_cycle", "Cycle, monitored", figures.VALIDATION, "-"),
    ("identity", "Identity, training", figures.TRAINING, ":"),
    ("monitored_identity", "Identity, monitored", figures.VALIDATION, ":"),
)
OPPONENTS = (
    ("adversarial", "Generators", figures.TRAINING, "-"),
    ("discriminators", "Discriminators", figures.VALIDATION, "-"),
)


def triples(shown: Sequence[tuple[str, ImageArray, ImageArray, ImageArray]]) -> Figure:
    """Source, translated and reconstructed image, one case per row.

    Args:
        shown: (name, three images [rows, cols] in [0, 1]) each.
    """
    figure, axes = figures.subplots(max(1, len(shown)), 3, width=7.5, height=2.7 * max(1, len(shown)))
    for line, (name, *images) in zip(axes, shown, strict=False):
        every = -(-max(images[0].shape) // figures.LONGEST_SIDE)
        for axis, image, title in zip(line, images, (name, "translated", "reconstructed"), strict=True):
            figures.show(axis, image[::every, ::every], title)
    return figure


def curves(journal: Journal) -> Figure:
    """By epoch: the reconstruction and identity errors, and the adversarial losses of both sides."""
    figure, axes = figures.subplots(1, 2, width=8, height=3.2)
    for axis, lines, title in (
        (axes[0, 0], PARTS, "Mean absolute error in [−1, 1]"),
        (axes[0, 1], OPPONENTS, "Adversarial loss"),
    ):
        for column, label, colour, dash in lines:
            values = [row.get(column, np.nan) for row in journal]
            axis.plot([row["epoch"] for row in journal], values, label=label, color=colour, ls=dash, lw=1.8)
        axis.set_title(title, loc="left", fontsize=11, fontweight="bold", color=figures.INK)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axis.set_ylim(bottom=0)
        axis.legend(frameon=False, labelcolor=figures.INK, fontsize=8)
    return figure
