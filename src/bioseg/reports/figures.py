"""Figures of a run.

Images are [rows, cols] or [rows, cols, 3] in [0, 1], masks [rows, cols], True in the foreground. Every function returns a figure
that belongs to no global state; :func:`save` writes it.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter
from numpy.typing import NDArray
from scipy import ndimage

from bioseg import files
from bioseg.evaluation.summary import Row
from bioseg.types import Array, Box, ImageArray, Labels, Mask

Journal = Sequence[dict[str, Any]]
INK, QUIET, LINE = "#1f2933", "#5f6c7b", "#cfd6de"
TRAINING, VALIDATION = "#b35c00", "#0969a8"
TP, FP, FN, TN = (0.0, 0.85, 0.85), (0.95, 0.0, 0.85), (1.0, 0.9, 0.0), (0.0, 0.0, 0.0)
PREDICTED, TRUTH, POOR = (0.86, 0.1, 0.1), (0.1, 0.45, 1.0), "#d1242f"
SOURCES = ("#0969a8", "#b35c00", "#1b7f6b", "#a3348f", "#5b5f66")
LONGEST_SIDE = 512
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#eceff3",
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
}


@dataclass(frozen=True, eq=False)
class Shown:
    """An evaluated case to draw.

    Attributes:
        name: Its id.
        image: [rows, cols] or [rows, cols, 3] in [0, 1].
        truth: [rows, cols].
        predicted: [rows, cols].
        dice: Its score; NaN if undefined.
        labels: Predicted objects, [rows, cols], where they are separated.
        boxes: Predicted and true boxes, where they are drawn.
        classes: Of several classes the name, ground truth and prediction, [rows, cols] each.
    """

    name: str
    image: ImageArray
    truth: Mask
    predicted: Mask
    dice: float
    labels: Labels | None = None
    boxes: tuple[Sequence[Box], Sequence[Box]] | None = None
    classes: Sequence[tuple[str, Mask, Mask]] = ()

    @property
    def label(self) -> str:
        """Name, shortened in the middle, and score."""
        name = self.name if len(self.name) <= 24 else f"{self.name[:11]}…{self.name[-11:]}"
        return f"{name}\nDice {self.dice:.3f}" if self.dice == self.dice else f"{name}\nDice undefined"


def save(figure: Figure, path: Path) -> None:
    """Write a PNG atomically."""
    files.write(path, png(figure))


def png(figure: Figure) -> bytes:
    """The figure as a PNG."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=144, facecolor="white")
    return data.getvalue()


def learning_curves(journals: Sequence[Journal]) -> Figure:
    """Loss and Dice by epoch, training and validation; one line per fold, a dot at the epoch whose weights are kept."""
    figure, axes = subplots(1, 2, width=8, height=3.2)
    journals = [journal for journal in journals if journal]
    for axis, training, validation, title in (
        (axes[0, 0], "loss", "validation_loss", "Loss, lower is better"),
        (axes[0, 1], "training_dice", "dice", "Dice, higher is better"),
    ):
        for journal in journals:
            look = {"alpha": 0.55 if len(journals) > 1 else 1.0, "lw": 1.8}
            epochs, best = [row["epoch"] for row in journal], best_epoch(journal)
            axis.plot(epochs, _column(journal, training), color=TRAINING, ls=(0, (4, 1.5)), **look)
            axis.plot(epochs, _column(journal, validation), color=VALIDATION, **look)
            axis.plot(best["epoch"], best.get(validation, np.nan), "o", color=VALIDATION, ms=7, mec="white", zorder=3)
        _title(axis, title)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    losses = [value for journal in journals for name in ("loss", "validation_loss") for value in _column(journal, name)]
    if losses and 0 < 8 * np.nanmin(losses) < np.nanmax(losses):
        _logarithmic(axes[0, 0])
    handles = [
        Line2D([], [], color=TRAINING, lw=1.8, ls=(0, (4, 1.5)), label="training"),
        Line2D([], [], color=VALIDATION, lw=1.8, label="validation"),
        Line2D([], [], color=VALIDATION, marker="o", ls="", label="epoch kept"),
    ]
    legend(figure, handles)
    return figure


def best_epoch(journal: Journal) -> dict[str, Any]:
    """The journal's row of the epoch whose weights are kept."""
    return [row for row in journal if row.get("best")][-1]


def score_name(name: str) -> str:
    """``two_class_iou`` as people write it: Two-class IoU; ``dice:heart``: Dice, heart."""
    name, _, of_class = name.partition(":")
    if of_class:
        return f"{score_name(name)}, {of_class}"
    words = name.replace("two_class", "two-class").replace("_", " ").capitalize()
    return words.replace("dice", "Dice").replace("iou", "IoU").replace("Iou", "IoU")


def pairs(images: Sequence[ImageArray], masks: Sequence[Mask]) -> Figure:
    """Images above, their masks below."""
    figure, axes = subplots(2, max(1, len(images)), width=8, height=4.2)
    for column, (image, mask) in enumerate(zip(images, masks, strict=True)):
        show(axes[0, column], image, "")
        show(axes[1, column], mask, "")
    return figure


def rows(cases: Sequence[Shown]) -> Figure:
    """Image, ground truth and prediction, one case per row."""
    figure, axes = subplots(max(1, len(cases)), 3, width=7.5, height=2.7 * max(1, len(cases)))
    for line, case in zip(axes, map(reduced, cases), strict=False):
        for axis, image, title in zip(
            line, (case.image, case.truth, case.predicted), (case.label, "ground truth", "prediction"), strict=True
        ):
            show(axis, image, title)
    return figure


def confusion_overlay(cases: Sequence[Shown]) -> Figure:
    """Every pixel coloured by its cell of the confusion matrix."""
    figure, axes = _grid(len(cases))
    for axis, case in zip(axes, map(reduced, cases), strict=True):
        show(axis, case.image, case.label)
        axis.imshow(confusion_colours(case.predicted, case.truth), interpolation="nearest")
    names = (("true positive", TP), ("false positive", FP), ("false negative", FN), ("true negative", TN))
    legend(figure, [Patch(facecolor=colour, edgecolor=LINE, label=name) for name, colour in names])
    return figure


def confusion_colours(predicted: Mask, truth: Mask) -> NDArray[np.float32]:
    """Both masks as one layer of colour over the image.

    Returns:
        [rows, cols, 4] RGBA: true positive cyan, false positive magenta, false negative yellow, true negative black,
        each with alpha .5.
    """
    cell = 2 * truth.astype(np.intp) + predicted
    return np.array([(*colour, 0.5) for colour in (TN, FP, FN, TP)], np.float32)[cell]


def overlays(cases: Sequence[Shown], *, poor: float = 0.8) -> Figure:
    """The prediction filled in red, the contour of the ground truth in blue; framed in red below ``poor`` Dice."""
    figure, axes = _grid(len(cases))
    for axis, case in zip(axes, map(reduced, cases), strict=True):
        show(axis, case.image, case.label)
        width = max(1, round(max(case.truth.shape) / 128))
        edge = case.truth & ~ndimage.binary_erosion(case.truth, iterations=width)
        tint(axis, case.predicted, PREDICTED, 0.4)
        tint(axis, edge, TRUTH, 1.0)
        if case.dice < poor:
            for spine in axis.spines.values():
                spine.set(visible=True, color=POOR, lw=3)
    handles: list[Any] = [
        Patch(color=PREDICTED, alpha=0.5, lw=0, label="prediction"),
        Line2D([], [], color=TRUTH, lw=2, label="contour of the ground truth"),
    ]
    if any(case.dice < poor for case in cases):
        handles.append(Patch(fill=False, edgecolor=POOR, lw=2.5, label=f"Dice below {poor:g}"))
    legend(figure, handles)
    return figure


def best_median_worst(cases: Sequence[Shown]) -> Figure:
    """Best, median and worst case by Dice, in this order: the image, with ground truth, with prediction."""
    figure, axes = subplots(max(1, len(cases)), 3, width=7.5, height=2.8 * max(1, len(cases)))
    for line, case, rank in zip(axes, map(reduced, cases), ("Best", "Median", "Worst"), strict=False):
        show(line[0], case.image, f"{rank}: {case.label}")
        for axis, mask, colour, title in (
            (line[1], case.truth, TRUTH, "ground truth"),
            (line[2], case.predicted, PREDICTED, "prediction"),
        ):
            show(axis, case.image, title)
            tint(axis, mask, colour, 0.5)
    return figure


def distribution(
    table: Sequence[Row], scores: Sequence[str] = ("dice", "iou", "precision", "recall", "surface_dice")
) -> Figure:
    """One dot per case, with the median and the middle half; one column per score, by source if there are 2 to 5."""
    figure, axes = subplots(1, 1, width=8, height=3.6)
    axis = axes[0, 0]
    sources = sorted({row.source for row in table})
    groups = [[row for row in table if row.source == source] for source in sources]
    if not 1 < len(sources) <= len(SOURCES):
        sources, groups = [""], [list(table)]
    width = 0.8 / len(groups)
    ticks = []
    for column, name in enumerate(scores):
        missing = 0
        for place, (group, colour) in enumerate(zip(groups, SOURCES, strict=False)):
            values = np.array([row.scores.get(name, np.nan) for row in group])
            missing += int(np.isnan(values).sum())
            _strip(
                axis, column + (place - (len(groups) - 1) / 2) * width, values[~np.isnan(values)], 0.42 * width, colour
            )
        ticks.append(score_name(name) + (f"\n{missing} undefined" if missing else ""))
    axis.set_xticks(range(len(scores)), ticks)
    axis.set_xlim(-0.55, len(scores) - 0.45)
    axis.set_ylim(top=1.01)
    axis.grid(axis="x", visible=False)
    if len(groups) > 1:
        handles = [
            Line2D([], [], color=colour, marker="o", ls="", label=source or "no source")
            for source, colour in zip(sources, SOURCES, strict=False)
        ]
        legend(figure, handles)
    return figure


def confusion_matrix(shares: dict[str, float]) -> Figure:
    """The four cells as shares of all pixels.

    Args:
        shares: ``{"tp", "fp", "fn", "tn"}``, in [0, 1], together 1.
    """
    figure, axes = subplots(1, 1, width=4.2, height=3.6)
    cells = np.array([[shares["tp"], shares["fn"]], [shares["fp"], shares["tn"]]])
    axis = axes[0, 0]
    axis.imshow(cells, cmap="Blues", vmin=0, vmax=1)
    for (row, col), value in np.ndenumerate(cells):
        axis.text(
            col, row, f"{value:.2%}", ha="center", va="center", color="white" if value > 0.5 else INK, fontsize=14
        )
    axis.set_xticks([0, 1], ["foreground", "background"])
    axis.set_yticks([0, 1], ["foreground", "background"])
    axis.set(xlabel="prediction", ylabel="ground truth")
    _title(axis, "Share of all pixels")
    axis.tick_params(length=0)
    axis.grid(visible=False)
    return figure


def subplots(down: int, across: int, *, width: float, height: float) -> tuple[Figure, NDArray[Any]]:
    """A figure with a grid of axes [down, across] in our style; inches."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.1))
        return figure, figure.subplots(down, across, squeeze=False)


def _grid(count: int, across: int = 3) -> tuple[Figure, list[Axes]]:
    """``count`` axes in rows of ``across``; those left over are hidden."""
    down = max(1, -(-count // across))
    figure, axes = subplots(down, across, width=8, height=2.95 * down + 0.35)
    flat = list(axes.ravel())
    for axis in flat[count:]:
        axis.set_visible(False)
    return figure, flat[:count]


def _title(axis: Axes, text: str, *, fontsize: int = 11, fontweight: str = "bold") -> None:
    axis.set_title(text, loc="left", fontsize=fontsize, fontweight=fontweight, color=INK)


def legend(figure: Figure, handles: Sequence[Any]) -> None:
    """Below everything, in one row."""
    figure.legend(handles=handles, frameon=False, ncols=len(handles), loc="outside lower center", labelcolor=INK)


def show(axis: Axes, image: Array, title: str) -> None:
    """An image or mask without ticks or frame."""
    axis.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest" if image.dtype == bool else "antialiased")
    _title(axis, title, fontsize=9, fontweight="normal")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(visible=False)
    for spine in axis.spines.values():
        spine.set_visible(False)


def tint(axis: Axes, mask: Mask, colour: tuple[float, float, float], alpha: float) -> None:
    """Lay ``colour`` over the foreground of ``mask``."""
    layer = np.array([(*colour, 0.0), (*colour, alpha)], np.float32)[mask.astype(np.intp)]
    axis.imshow(layer, interpolation="nearest")


def _strip(axis: Axes, centre: float, values: NDArray[np.float64], half: float, colour: str) -> None:
    """One dot per value, spread evenly to ``half`` on both sides, over the middle half and the median."""
    if not len(values):
        return
    low, middle, high = np.percentile(values, (25, 50, 75))
    axis.fill_between([centre - half, centre + half], low, high, color=INK, alpha=0.1, lw=0)
    places = centre + half * (2 * ((np.arange(len(values)) * 0.6180339887) % 1) - 1)
    opacity = float(np.clip(40 / len(values), 0.08, 0.6))
    axis.plot(places, values, "o", ms=4.5, alpha=opacity, color=colour, mew=0)
    axis.plot([centre - half, centre + half], [middle] * 2, color=INK, lw=2, solid_capstyle="round")


def _logarithmic(axis: Axes) -> None:
    """A logarithmic scale with plain numbers at 1, 2, 5, 10 …"""
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    plain = ScalarFormatter()
    plain.set_scientific(False)
    axis.yaxis.set_major_formatter(plain)
    axis.yaxis.set_minor_formatter(NullFormatter())


def _column(journal: Journal, name: str) -> list[float]:
    return [row.get(name, np.nan) for row in journal]


def reduced(case: Shown) -> Shown:
    """The case, at most ``LONGEST_SIDE`` px long: a big scan costs gigabytes to draw and shows no more."""
    every = step(case)
    if every == 1:
        return case
    tall, wide = (min(every, side) for side in case.truth.shape)  # an image of 3×2000 keeps a row
    down, across = case.truth.shape[0] // tall, case.truth.shape[1] // wide
    inside = (slice(0, down * tall), slice(0, across * wide))
    blocks = case.image[inside].reshape(down, tall, across, wide, *case.image.shape[2:])

    def smaller(mask: Mask) -> Mask:
        return mask[inside][tall // 2 :: tall, wide // 2 :: wide]

    image = blocks.mean(axis=(1, 3), dtype=np.float32)
    classes = [(name, smaller(truth), smaller(predicted)) for name, truth, predicted in case.classes]
    return Shown(case.name, image, smaller(case.truth), smaller(case.predicted), case.dice, classes=classes)


def step(case: Shown) -> int:
    """How many pixels of a side become one in a figure."""
    longest: int = max(case.truth.shape)
    return -(-longest // LONGEST_SIDE)
