"""How long one image takes, and where the time goes: ``python -m benchmarks.latency MODEL IMAGE``; medians of 30, in ms."""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from bioseg.images import formats
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
    """Print one line per part."""
    predictor, raw_image = open_predictor(sys.argv[1]), formats.read(Path(sys.argv[2]))
    plain = replace(predictor, quality=None)
    batch = predictor.prepare(raw_image)[0][None]
    for name, work in (
        ("preparation", lambda: predictor.prepare(raw_image)),
        ("one forward pass", lambda: predictor.backends[0](batch)),
        ("all but quality", lambda: plain.predict(raw_image)),
        ("all", lambda: predictor.predict(raw_image)),
    ):
        print(f"{name}: {median_ms(work):.1f} ms")


if __name__ == "__main__":
    main()
