"""Figures of several classes, each in its colour."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray
from scipy import ndimage

from bioseg.classes import COLOURS
from bioseg.reports import figures
from bioseg.reports.figures import INK, POOR, Shown
from bioseg.types import Mask

MOST_NUMBERS = 12
"""Classes of a confusion matrix whose cells have numbers; more are shown by shade alone."""


def colour_of(index: int) -> tuple[float, float, float]:
    """Of the class at ``index``, in [0, 1]; they repeat after the last of :data:`bioseg.classes.COLOURS`."""
    red, green, blue = COLOURS[index % len(COLOURS)]
    return red / 255, green / 255, blue / 255


def rows(cases: Sequence[Shown]) -> Figure:
    """Image, ground truth and prediction, one case per row."""
    return _triples(cases, [case.label for case in cases])


def best_median_worst(cases: Sequence[Shown]) -> Figure:
    """Best, median and worst case by mean Dice, in this order: the image, with ground truth, with prediction."""
    ranks = ("Best", "Median", "Worst")
    return _triples(cases, [f"{rank}: {case.label}" for rank, case in zip(ranks, cases, strict=False)])


def overlays(cases: Sequence[Shown], *, poor: float = 0.8) -> Figure:
    """Predictions filled, contours of the ground truth as lines of the same colours; framed in red below ``poor`` mean Dice."""
    down = max(1, -(-len(cases) // 3))
    figure, axes = figures.subplots(down, 3, width=8, height=2.95 * down + 0.35)
    for axis in axes.ravel()[len(cases) :]:
        axis.set_visible(False)
    for axis, case in zip(axes.ravel(), map(figures.reduced, cases), strict=False):
        figures.show(axis, case.image, case.label)
        width = max(1, round(max(case.truth.shape) / 128))
        for index, (_, truth, predicted) in enumerate(case.classes):
            figures.tint(axis, predicted, colour_of(index), 0.4)
            figures.tint(axis, truth & ~ndimage.binary_erosion(truth, iterations=width), colour_of(index), 1.0)
        if case.dice < poor:
            for spine in axis.spines.values():
                spine.set(visible=True, color=POOR, lw=3)
    handles: list[Any] = _patches(cases)
    handles += [
        Line2D([], [], color=INK, lw=2, label="line: ground truth"),
        Patch(color=INK, alpha=0.4, label="fill: prediction"),
    ]
    if any(case.dice < poor for case in cases):
        handles.append(Patch(fill=False, edgecolor=POOR, lw=2.5, label=f"mean Dice below {poor:g}"))
    _legend(figure, handles)
    return figure


def confusion_matrix(names: Sequence[str], counts: NDArray[np.int64]) -> Figure:
    """Which class was taken for which: shares of each true class's pixels.

    Args:
        names: Of the background and the classes.
        counts: Pixels by true and predicted class, [K + 1, K + 1].
    """
    side = max(4.2, 0.8 * len(names) + 1.8)
    figure, axes = figures.subplots(1, 1, width=side, height=side * 0.85)
    axis: Axes = axes[0, 0]
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(names) <= MOST_NUMBERS + 1:
        for (row, col), value in np.ndenumerate(shares):
            colour = "white" if value > 0.5 else INK
            axis.text(col, row, f"{value:.1%}", ha="center", va="center", color=colour, fontsize=10)
    axis.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="prediction", ylabel="ground truth")
    axis.set_title("Share of each true class's pixels", loc="left", fontsize=11, fontweight="bold", color=INK)
    axis.tick_params(length=0)
    axis.grid(visible=False)
    return figure


def layer(masks: Sequence[Mask]) -> NDArray[np.float32]:
    """Masks [rows, cols] as one RGBA layer; where they overlap, the colours are mixed."""
    total = np.zeros((*masks[0].shape, 4), np.float32)
    for index, mask in enumerate(masks):
        total[mask] += (*colour_of(index), 1.0)
    total[..., :3] /= np.maximum(total[..., 3:], 1)
    total[..., 3] = 0.55 * (total[..., 3] > 0)
    return total


def _triples(cases: Sequence[Shown], titles: Sequence[str]) -> Figure:
    count = max(1, len(cases))
    figure, axes = figures.subplots(count, 3, width=7.5, height=2.8 * count + 0.35)
    for line, case, title in zip(axes, map(figures.reduced, cases), titles, strict=False):
        figures.show(line[0], case.image, title)
        for axis, masks, name in (
            (line[1], [truth for _, truth, _ in case.classes], "ground truth"),
            (line[2], [predicted for _, _, predicted in case.classes], "prediction"),
        ):
            figures.show(axis, case.image, name)
            axis.imshow(layer(masks), interpolation="nearest")
    _legend(figure, _patches(cases))
    return figure


def _patches(cases: Sequence[Shown]) -> list[Any]:
    names = [name for name, _, _ in cases[0].classes] if cases else []
    return [Patch(color=colour_of(index), label=name) for index, name in enumerate(names)]


def _legend(figure: Figure, handles: Sequence[Any]) -> None:
    figure.legend(
        handles=handles, frameon=False, ncols=min(4, len(handles)), loc="outside lower center", labelcolor=INK
    )
