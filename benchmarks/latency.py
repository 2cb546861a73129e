"""How long one picture takes, and where the time goes: ``python -m benchmarks.latency MODEL PICTURE``; medians of 30, in ms."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from bioseg.data import pixels
from bioseg.inference.ensemble import mean_probability
from bioseg.inference.predictor import Predictor


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
    predictor, stored = Predictor.open(Path(sys.argv[1])), pixels.read(Path(sys.argv[2]))
    plain = Predictor(predictor.networks, predictor.recipe, predictor.device)  # without its quality
    batch = torch.from_numpy(predictor.prepare(stored)[0][None]).to(predictor.device)
    for name, work in (
        ("preparation", lambda: predictor.prepare(stored)),
        ("network, once", lambda: mean_probability(predictor.networks, batch)),
        ("all but quality", lambda: plain.predict(stored)),
        ("all", lambda: predictor.predict(stored)),
    ):
        print(f"{name}: {median_ms(work):.1f} ms")


if __name__ == "__main__":
    main()
