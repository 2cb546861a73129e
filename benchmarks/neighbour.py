"""What waiting threads cost beside another busy process: ``python -m benchmarks.neighbour``.

The same prediction is timed with OpenMP's default, where waiting threads spin, and with ``OMP_WAIT_POLICY=passive``, which the
commands of bioseg set: alone, and beside a process that keeps one core busy. Each is a process of its own, since OpenMP reads
the variable when it is loaded. Prints medians and their ratio; a ratio below 1 says that passive waiting is faster.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

MODEL, SIZE_PX = "cxr-lungs-all", 512
POLICY = "OMP_WAIT_POLICY"


def main(rounds: int = 3, times: int = 20) -> list[dict[str, float | str]]:
    """Measure, print, and return one row per situation, medians in milliseconds.

    Args:
        rounds: Both policies are measured alternating, this many times; the median round counts.
        times: Predictions per round.
    """
    rows: list[dict[str, float | str]] = []
    for name, count in (("alone", 0), ("beside one busy process", 1)):
        with busy(count):
            found = [[measured(policy, times) for policy in ("", "passive")] for _ in range(rounds)]
        default, passive = (sorted(column)[rounds // 2] for column in zip(*found, strict=True))
        rows.append({"situation": name, "default_ms": default, "passive_ms": passive, "ratio": passive / default})
        print(f"{name}: default {default:.0f} ms, passive {passive:.0f} ms, passive / default {passive / default:.2f}")
    return rows


def measured(policy: str, times: int) -> float:
    """Median milliseconds of a prediction in a process of its own with this policy; empty: OpenMP's default."""
    environment = {key: value for key, value in os.environ.items() if key not in (POLICY, "OMP_NUM_THREADS")}
    environment |= {POLICY: policy} if policy else {}
    command = [sys.executable, "-m", "benchmarks.neighbour", str(times)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """``count`` processes that each keep one core busy while the block runs."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def predict(times: int) -> float:
    """Median milliseconds of one prediction, after three to warm up."""
    import numpy as np

    import bioseg

    model = bioseg.load(f"pretrained:{MODEL}", "cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE_PX, SIZE_PX), dtype=np.uint8)
    taken = []
    for _ in range(times + 3):
        started = time.perf_counter()
        model.predict(pixels)
        taken.append(1000 * (time.perf_counter() - started))
    return float(np.median(taken[3:]))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(predict(int(sys.argv[1])))
    else:
        main()
