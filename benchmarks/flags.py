"""How many images a model flags: of the data it is meant for, which it was not trained on, and of other kinds.

``python -m benchmarks.flags MODEL DATA OTHER …``: the images of DATA by the part they had in training, noise, black and
photographs, and 12 images of every other folder. ``--renew`` learns first what MODEL is meant for, from DATA.
"""

import argparse
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from skimage import data as photographs

from bioseg.datasets import cases as reading
from bioseg.datasets.folders import list_images, read_dataset
from bioseg.images.formats import RawImage, to_raw_image
from bioseg.inference import pretrained
from bioseg.inference.predictor import Predictor
from bioseg.pipelines.applicability import renew_applicability
from bioseg.pipelines.evaluate import seen_cases
from bioseg.pipelines.open import open_predictor

OTHERS = 12
PHOTOGRAPHS = ("chelsea", "astronaut", "coffee", "camera", "coins", "rocket", "brick", "page")


def main() -> None:
    """Print a line for each kind of image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("others", type=Path, nargs="*")
    parser.add_argument("--renew", action="store_true")
    asked = parser.parse_args()
    if asked.renew:
        print(renew_applicability(asked.model, asked.data, device="cpu"))
    predictor = open_predictor(asked.model, "cpu")
    scan = read_dataset(asked.data, predictor.recipe.layout)
    seen = seen_cases(pretrained.find(asked.model), scan) or {}
    for part in ("train", "validation", "test"):
        cases = [case for case in scan.cases if seen.get(case.id, "test") == part]
        if part == "train":
            cases = cases[:: max(1, len(cases) // 60)]
        report(predictor, f"{asked.data.name}, {part}", (reading.read_image(case) for case in cases))
    report(predictor, "noise, black", foreign())
    report(predictor, "photographs", (to_raw_image(getattr(photographs, name)()) for name in PHOTOGRAPHS))
    for other in asked.others:
        images = list_images(other)
        few = images[:: max(1, len(images) // OTHERS)][:OTHERS]
        report(predictor, other.name, (reading.read_image(case) for case in few))


def foreign() -> list[RawImage]:
    """Noise of three kinds, and black."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, high, (256, 256)).astype(kind) for high, kind in ((256, "u1"), (2, "u1"), (65536, "u2"))]
    return [to_raw_image(pixels) for pixels in (*noise, np.zeros((256, 256), np.uint8))]


def report(predictor: Predictor, name: str, images: Iterable[RawImage]) -> None:
    """Count the flagged images and their first reasons."""
    found = [predictor.predict(image).reasons for image in images]
    if found:
        why = Counter(reasons[0] for reasons in found if reasons)
        words = "; ".join(f"{reason} {count}" for reason, count in why.most_common(4))
        print(f"{name}: {sum(why.values())} of {len(found)} flagged. {words}", flush=True)


if __name__ == "__main__":
    main()
