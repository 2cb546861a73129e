"""The README's figure, from phantoms: ``python docs/figures/overview.py`` writes ``docs/figures/overview.png``.

Above three phantom images, below each with the contour that a pretrained model predicts, the phantom's own in white
behind it. No image of a patient or a data set is in it.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image
from skimage.segmentation import find_boundaries

import bioseg
from bioseg import files
from bioseg.datasets import phantoms
from bioseg.evaluation.overlap import confusion, dice
from bioseg.postprocess.masks import Prediction
from bioseg.reports.figures import INK, legend, show, subplots
from bioseg.types import Array, Mask

OUT = Path(__file__).with_name("overview.png")
SIZE_PX = 256
PREDICTED, TRUTH = "#ff4d4d", "#ffffff"


@dataclass(frozen=True)
class Example:
    """A phantom and the pretrained model for it.

    Attributes:
        model: Its name.
        title: Above the phantom.
        draw: (rng) → pixels as a file would hold them, [rows, cols] or [rows, cols, 3], and the true mask.
        seed: Of the phantom.
    """

    model: str
    title: str
    draw: Callable[[np.random.Generator], tuple[Array, Mask]]
    seed: int


def nuclei(rng: np.random.Generator) -> tuple[Array, Mask]:
    """Nuclei in microscopy."""
    image, labels = phantoms.nuclei(rng, SIZE_PX)
    return image, labels > 0


def chest(rng: np.random.Generator) -> tuple[Array, Mask]:
    """A frontal chest X-ray, 8 bits."""
    values, left, right = phantoms.chest(rng, (SIZE_PX, SIZE_PX))
    scaled = (values - values.min()) / np.ptp(values)
    return (255 * scaled).astype(np.uint8), left | right


EXAMPLES = (
    Example("nuclei", "microscopy", nuclei, seed=3),
    Example("cxr-lungs-all", "chest X-ray", chest, seed=1),
    Example("ct-lungs", "CT slice", lambda rng: phantoms.ct_slice(rng, SIZE_PX), seed=2),
)


def overview() -> Figure:
    """The figure."""
    figure, axes = subplots(2, len(EXAMPLES), width=7.2, height=5.3)
    for column, example in enumerate(EXAMPLES):
        pixels, truth = example.draw(np.random.default_rng(example.seed))
        found = bioseg.load(f"pretrained:{example.model}", "cpu").predict(pixels)
        low, high = np.percentile(pixels, (1, 99))
        grey = np.clip((pixels.astype(np.float32) - low) / (high - low), 0, 1)
        show(axes[0, column], grey, example.title)
        show(axes[1, column], grey, words(example.model, found, truth))
        contour(axes[1, column], truth, TRUTH, 2.6)
        labels = found.mask.astype(int) if found.labels is None else found.labels
        for number in range(1, labels.max() + 1):
            contour(axes[1, column], labels == number, PREDICTED, 1.3)
    legend(
        figure,
        [
            Line2D([], [], color=PREDICTED, lw=2, label="predicted contour"),
            Line2D([], [], color=INK, lw=3.4, label="ground truth (white)", alpha=0.25),
        ],
    )
    return figure


def words(model: str, found: Prediction, truth: Mask) -> str:
    """The model's name, its Dice on the phantom and what else it says."""
    extra = ""
    if found.labels is not None:
        extra = f" · {found.labels.max()} nuclei"
    elif found.quality is not None:
        extra = f" · quality {found.quality.score:.2f}" + (", flagged" if found.quality.flagged else "")
    return f"{model}\nDice {dice(confusion(found.mask, truth)):.3f}{extra}"


def contour(axis: Axes, mask: Mask, colour: str, width: float) -> None:
    """The line around a mask."""
    if find_boundaries(mask).any():
        axis.contour(mask, levels=[0.5], colors=[colour], linewidths=[width])


def main() -> None:
    """Draw and write; 96 colours are enough for grey images and two lines."""
    data = io.BytesIO()
    with matplotlib.rc_context({"font.family": "DejaVu Sans"}):
        overview().savefig(data, format="png", dpi=100, facecolor="white")
    small = Image.open(data).convert("RGB").quantize(96, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    png = io.BytesIO()
    small.save(png, "PNG", optimize=True)
    files.write(OUT, png.getvalue())


if __name__ == "__main__":
    main()
