"""Figures of a run. Pictures are [rows, cols] or [rows, cols, 3] in [0, 1], masks [rows, cols]; every function returns a figure."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from scipy import ndimage

from bioseg import files
from bioseg.evaluation.summary import Row
from bioseg.types import Mask, Picture

INK, QUIET, LINE = "#22303c", "#6b7a88", "#d8dee4"
TRAINING, VALIDATION = "#9a6700", "#0969a8"
TP, FP, FN = (0.0, 0.85, 0.85), (0.95, 0.0, 0.85), (1.0, 0.9, 0.0)
PREDICTED, TRUTH, POOR = (0.86, 0.1, 0.1), (0.1, 0.35, 0.95), "#d1242f"
STYLE = {
    "font.size": 10, "axes.edgecolor": LINE, "axes.labelcolor": INK, "text.color": INK, "xtick.color": QUIET,
    "ytick.color": QUIET, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#eef1f4",
    "axes.axisbelow": True, "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Shown:
    """A judged case to draw.

    Attributes:
        name: Its id.
        picture: [rows, cols] or [rows, cols, 3] in [0, 1].
        truth: [rows, cols].
        predicted: [rows, cols].
        dice: Its score; NaN if undefined.
    """

    name: str
    picture: Picture
    truth: Mask
    predicted: Mask
    dice: float

    @property
    def label(self) -> str:
        """Name, shortened in the middle, and score."""
        name = self.name if len(self.name) <= 22 else f"{self.name[:10]}…{self.name[-10:]}"
        return f"{name}\nDice {self.dice:.3f}" if self.dice == self.dice else f"{name}\nDice undefined"


def save(figure: Figure, path: Path) -> None:
    """Write a PNG, whole or not at all."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110, facecolor="white")
    files.write(path, data.getvalue())


def learning_curves(journals: Sequence[Sequence[dict[str, Any]]]) -> Figure:
    """Loss and Dice by epoch, training and validation; a line a fold, a dot at the best epoch."""
    figure, axes = _figure(1, 2, width=10, height=3.4)
    for axis, training, validation, name in (
        (axes[0, 0], "loss", "validation_loss", "Loss"),
        (axes[0, 1], "training_dice", "dice", "Dice"),
    ):
        for journal in journals:
            epochs = [row["epoch"] for row in journal]
            axis.plot(epochs, [row.get(training, np.nan) for row in journal], color=TRAINING, lw=1.5)
            axis.plot(epochs, [row[validation] for row in journal], color=VALIDATION, lw=1.5)
            best = min(journal, key=lambda row: row["validation_loss"])
            axis.plot(best["epoch"], best[validation], "o", color=VALIDATION, ms=6)
        axis.set_title(name)
        axis.set_xlabel("epoch")
        if name == "Loss":
            axis.set_yscale("log")
    handles = [Patch(color=TRAINING, label="training"), Patch(color=VALIDATION, label="validation (dot: best)")]
    axes[0, 1].legend(handles=handles, frameon=False, loc="lower right")
    return figure


def rows(cases: Sequence[Shown]) -> Figure:
    """Picture | truth | prediction, a case a row."""
    figure, axes = _figure(len(cases), 3, width=7.5, height=2.6 * len(cases))
    for line, case in zip(axes, cases, strict=True):
        for axis, image, title in zip(
            line, (case.picture, case.truth, case.predicted), (case.label, "truth", "prediction"), strict=True
        ):
            _show(axis, image, title)
    return figure


def confusion_overlay(cases: Sequence[Shown]) -> Figure:
    """Every pixel coloured by its cell of the confusion matrix."""
    figure, axes = _grid(len(cases))
    for axis, case in zip(axes, cases, strict=False):
        _show(axis, case.picture, case.label)
        axis.imshow(confusion_colours(case.predicted, case.truth))
    names = (("found", TP), ("too much", FP), ("missed", FN))
    figure.legend(handles=[Patch(color=colour, label=name) for name, colour in names], frameon=False, ncols=3, loc="outside lower center")
    return figure


def confusion_colours(predicted: Mask, truth: Mask) -> NDArray[np.float64]:
    """[rows, cols, 4]: true positive cyan, false positive magenta, false negative yellow, true negative black, alpha .5."""
    colours = np.zeros((*truth.shape, 4))
    for cell, colour in ((predicted & truth, TP), (predicted & ~truth, FP), (~predicted & truth, FN)):
        colours[cell, :3] = colour
    colours[..., 3] = 0.5
    return colours


def overlays(cases: Sequence[Shown], *, poor: float = 0.8) -> Figure:
    """The prediction filled in red over the picture, the truth's outline in blue; framed in red below ``poor`` Dice."""
    figure, axes = _grid(len(cases))
    for axis, case in zip(axes, cases, strict=False):
        _show(axis, case.picture, case.label)
        axis.imshow(np.dstack([np.full((*case.predicted.shape, 3), PREDICTED), 0.35 * case.predicted]))
        width = max(1, round(max(case.truth.shape) / 256))
        edge = case.truth & ~ndimage.binary_erosion(case.truth, iterations=width)
        axis.imshow(np.dstack([np.full((*edge.shape, 3), TRUTH), 1.0 * edge]))
        if not case.dice >= poor:
            for spine in axis.spines.values():
                spine.set(visible=True, color=POOR, lw=3)
    handles = [Patch(color=PREDICTED, alpha=0.35, label="prediction"), Patch(fill=False, edgecolor=TRUTH, lw=2, label="truth")]
    figure.legend(handles=handles, frameon=False, ncols=2, loc="outside lower center")
    return figure


def best_median_worst(cases: Sequence[Shown]) -> Figure:
    """Three cases, best, median and worst by Dice: the picture, with truth, with prediction."""
    figure, axes = _figure(len(cases), 3, width=7.5, height=2.7 * len(cases))
    for line, case, rank in zip(axes, cases, ("best", "median", "worst"), strict=False):
        _show(line[0], case.picture, f"{rank}: {case.label}")
        for axis, mask, colour, name in ((line[1], case.truth, TRUTH, "truth"), (line[2], case.predicted, PREDICTED, "prediction")):
            _show(axis, case.picture, name)
            axis.imshow(np.dstack([np.full((*mask.shape, 3), colour), 0.45 * mask]))
    return figure


def distribution(table: Sequence[Row], scores: Sequence[str] = ("dice", "iou", "precision", "recall", "surface_dice")) -> Figure:
    """Every case a dot, with the median and the middle half, a column a score (and, in Dice, a colour a source)."""
    figure, axes = _figure(1, 1, width=8, height=3.6)
    axis, rng = axes[0, 0], np.random.default_rng(0)
    sources = sorted({row.source for row in table})
    shades = ["#0969a8", "#bf3989", "#1a7f37", "#9a6700", "#8250df"]
    for column, name in enumerate(scores):
        values = np.array([row.scores.get(name, np.nan) for row in table])
        for source, shade in zip(sources, shades * len(sources), strict=False):
            own = np.array([row.source == source for row in table]) & np.isfinite(values)
            places = column + rng.uniform(-0.18, 0.18, int(own.sum()))
            axis.plot(places, values[own], "o", ms=4, alpha=0.5, color=shade, mew=0, label=source if column == 0 else None)
        known = values[np.isfinite(values)]
        if len(known):
            low, middle, high = np.percentile(known, (25, 50, 75))
            axis.fill_between([column - 0.3, column + 0.3], low, high, color=INK, alpha=0.12, lw=0)
            axis.plot([column - 0.3, column + 0.3], [middle] * 2, color=INK, lw=2)
    axis.set_xticks(range(len(scores)), [name.replace("_", " ") for name in scores])
    axis.set_ylim(top=1.01)
    axis.grid(axis="x", visible=False)
    axis.set_title("Every held-out case; the bar is the median, the band the middle half")
    if len(sources) > 1:
        axis.legend(frameon=False, loc="lower right")
    return figure


def confusion_matrix(shares: dict[str, float]) -> Figure:
    """The four cells as shares of all pixels, ``{"tp", "fp", "fn", "tn"}``."""
    figure, axes = _figure(1, 1, width=3.8, height=3.4)
    cells = np.array([[shares["tp"], shares["fn"]], [shares["fp"], shares["tn"]]])
    axis = axes[0, 0]
    axis.imshow(cells, cmap="Blues", vmin=0, vmax=1)
    for (row, col), value in np.ndenumerate(cells):
        axis.text(col, row, f"{value:.2%}", ha="center", va="center", color="white" if value > 0.5 else INK, fontsize=13)
    axis.set_xticks([0, 1], ["inside", "outside"])
    axis.set_yticks([0, 1], ["inside", "outside"])
    axis.set(xlabel="prediction", ylabel="truth", title="Share of all pixels")
    axis.grid(visible=False)
    return figure


def _figure(down: int, across: int, *, width: float, height: float) -> tuple[Figure, NDArray[Any]]:
    """A figure with a grid of axes [down, across], in our style, without touching anybody's global state."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(down, across, squeeze=False)


def _grid(count: int, across: int = 3) -> tuple[Figure, list[Axes]]:
    """So many axes in rows of ``across``; those left over are hidden."""
    down = max(1, -(-count // across))
    figure, axes = _figure(down, across, width=8, height=2.9 * down + 0.3)
    flat = list(axes.ravel())
    for axis in flat[count:]:
        axis.set_visible(False)
    return figure, flat[:count]


def _show(axis: Axes, image: Picture | Mask, title: str) -> None:
    axis.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_title(title, fontsize=9, fontweight="normal")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(visible=False)
    for spine in axis.spines.values():
        spine.set_visible(False)
