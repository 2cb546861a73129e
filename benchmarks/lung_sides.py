"""How well one mask of both lungs is divided into left and right, where the ground truth has a mask for each.

``python -m benchmarks.lung_sides DATA [MODEL]`` (the JSRT folder) prints the mean absolute error of each side's area, for the
union of the two masks as it is and grown until the lungs touch, and the ratio of the areas, left over right; with a model, the
errors of what it predicts, of the thorax width too.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt

from bioseg.datasets.layouts import jsrt
from bioseg.outputs.sides import split_sides, thorax_line
from bioseg.pipelines.open import open_predictor
from bioseg.types import Mask

Pair = tuple[Mask, Mask]


def touching(right: Mask, left: Mask) -> Pair:
    """Both lungs grown until they meet; a pixel is of the lung that is nearer."""
    to_right, to_left = distance_transform_edt(~right), distance_transform_edt(~left)
    reach = (to_right + to_left).min() / 2 + 1
    nearer = to_right < to_left
    return (to_right <= reach) & nearer, (to_left <= reach) & ~nearer


def errors(mask: Mask, right: Mask, left: Mask) -> list[float]:
    """|found − true| / true of the right and of the left area and of the thorax width, %.

    Args:
        mask: Both lungs, divided here.
        right: Ground truth.
        left: Ground truth.
    """
    found = split_sides(mask)
    pairs = [(one.sum(), truth.sum()) for one, truth in ((found.right, right), (found.left, left))]
    lines = thorax_line(found.right, found.left), thorax_line(right, left)
    pairs.append(tuple(line[2] - line[1] + 1 if line else 0 for line in lines))
    return [100 * abs(int(one) - int(truth)) / int(truth) for one, truth in pairs]


def show(name: str, found: list[list[float]]) -> None:
    """Print means and the largest."""
    means, largest = np.mean(found, axis=0), np.max(found, axis=0)
    parts = [
        f"{what} {mean:.2f} (largest {most:.2f})"
        for what, mean, most in zip(("right", "left", "thorax width"), means, largest, strict=True)
    ]
    print(f"{name}: {len(found)} images; mean absolute error, %: {', '.join(parts)}")


def read_pairs(folder: Path) -> list[Pair]:
    """(right, left) of every image."""
    pairs = []
    for case in jsrt.list_cases(folder):
        by_side = {path.parent.name.split("_")[0].split()[0]: path for path in case.masks}
        right, left = (np.asarray(Image.open(by_side[side]).convert("L")) > 0 for side in ("right", "left"))
        pairs.append((right, left))
    return pairs


def main() -> None:
    """Print the errors and the ratio."""
    pairs = read_pairs(Path(sys.argv[1]))
    show("ground truth, apart", [errors(right | left, right, left) for right, left in pairs])
    show(
        "ground truth, touching",
        [errors(right | left, right, left) for right, left in (touching(*pair) for pair in pairs)],
    )
    if len(sys.argv) > 2:
        model, cases = open_predictor(sys.argv[2]), jsrt.list_cases(Path(sys.argv[1]))
        found = [errors(model.predict(case.path).mask, *pair) for case, pair in zip(cases, pairs, strict=True)]
        show(sys.argv[2], found)
    ratios = np.array([left.sum() / right.sum() for right, left in pairs])
    low, middle, high = np.percentile(ratios, [5, 50, 95])
    print(f"left over right area: median {middle:.3f}, 5th to 95th percentile {low:.3f} to {high:.3f}")


if __name__ == "__main__":
    main()
