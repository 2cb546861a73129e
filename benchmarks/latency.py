"""How long one image takes, and where the time goes: ``python -m benchmarks.latency MODEL PICTURE``; medians of 30, in ms."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bioseg.images import formats
from bioseg.inference.predictor import Predictor
from bioseg.inference.tta import mean_probability
from bioseg.pipelines.open import open_predictor


def median_ms(work: Callable[[], object], times: int = 30) -> float:
    """Of ``times`` runs after three to warm up."""
    taken = []
    for _ in range(times + 3):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return 1000 * float(np.median(taken[3:]))


def main() -> None:
    """Print a line a part."""
    predictor, raw_image = open_predictor(Path(sys.argv[1])), formats.read(Path(sys.argv[2]))
    plain = Predictor(predictor.networks, predictor.recipe, predictor.device)  # without its quality
    batch = torch.from_numpy(predictor.prepare(raw_image)[0][None]).to(predictor.device)
    for name, work in (
        ("preparation", lambda: predictor.prepare(raw_image)),
        ("network, once", lambda: mean_probability(predictor.networks, batch)),
        ("all but quality", lambda: plain.predict(raw_image)),
        ("all", lambda: predictor.predict(raw_image)),
    ):
        print(f"{name}: {median_ms(work):.1f} ms")


if __name__ == "__main__":
    main()
