"""Figures of separate objects and of boxes; otherwise as :mod:`bioseg.reports.figures`."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from scipy import ndimage

from bioseg.reports import figures
from bioseg.reports.figures import PREDICTED, TRUTH, Shown


def boxes(cases: Sequence[Shown], *, across: int = 8) -> Figure:
    """True boxes blue, predicted ones red with their confidence, in rows of ``across``."""
    across = min(across, max(2, len(cases)))
    down = max(1, -(-len(cases) // across))
    figure, axes = figures.subplots(down, across, width=2.0 * across, height=2.1 * down + 0.4)
    for axis in axes.ravel()[len(cases) :]:
        axis.set_visible(False)
    for axis, case in zip(axes.ravel(), cases, strict=False):
        step = figures.step(case)
        figures.show(axis, figures.reduced(case).image, "")
        found, true = case.boxes or ((), ())
        for group, colour, width in ((true, TRUTH, 2.4), (found, PREDICTED, 1.6)):
            for box in group:
                corner = (box.x / step, box.y / step)
                axis.add_patch(Rectangle(corner, box.width / step, box.height / step, fill=False, ec=colour, lw=width))
        for box in found:
            middle, bottom = (box.x + box.width / 2) / step, (box.y + box.height) / step
            axis.text(middle, bottom, f"{box.confidence:.2f}", color="white", fontsize=7, ha="center", va="bottom")
    figures.legend(
        figure,
        [
            Line2D([], [], color=TRUTH, lw=2.4, label="true box"),
            Line2D([], [], color=PREDICTED, lw=1.6, label="predicted box, with its confidence"),
        ],
    )
    return figure


def objects(cases: Sequence[Shown]) -> Figure:
    """The image with the contour of the ground truth; beside it every predicted object in a colour of its own."""
    figure, axes = figures.subplots(max(1, len(cases)), 2, width=7.5, height=3.6 * max(1, len(cases)))
    for line, case in zip(axes, cases, strict=False):
        labels = ndimage.label(case.predicted)[0] if case.labels is None else case.labels
        small, step = figures.reduced(case), figures.step(case)
        rows, cols = small.truth.shape
        numbers = labels[step // 2 :: step, step // 2 :: step][:rows, :cols]
        colours = np.append(0, np.random.default_rng(0).permutation(labels.max(initial=0)) % 20)
        layer = matplotlib.colormaps["tab20"](colours[numbers])
        layer[..., 3] = 0.55 * (numbers > 0)
        figures.show(line[0], small.image, case.label)
        figures.tint(line[0], small.truth & ~ndimage.binary_erosion(small.truth), TRUTH, 1.0)
        figures.show(line[1], small.image, f"{labels.max(initial=0)} objects")
        line[1].imshow(layer, interpolation="nearest")
    return figure
