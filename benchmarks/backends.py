"""Milliseconds per image of the backends of one model, side by side in one run: ``python -m benchmarks.backends``.

A PNG of 512×512 is read and prepared once; measured is the network's forward pass, of one image at a time and of a batch,
with the backends in turn. Phantoms of the chest stand in for X-rays: the time does not depend on what is shown.
"""

import io
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bioseg.datasets import phantoms
from bioseg.images.formats import to_raw_image
from bioseg.inference.backends import Backend
from bioseg.pipelines.export import export
from bioseg.pipelines.open import open_predictor

MODEL, SIDE_PX, BATCHES, ROUNDS = "cxr-lungs-all", 512, (1, 3, 8), 15


def milliseconds(backends: dict[str, Backend], batch: np.ndarray, rounds: int) -> dict[str, float]:
    """Median per image, the backends in turn, after two rounds to warm up."""
    times: dict[str, list[float]] = {name: [] for name in backends}
    for _ in range(rounds + 2):
        for name, backend in backends.items():
            started = time.perf_counter()
            backend(batch)
            times[name].append(1000 * (time.perf_counter() - started) / len(batch))
    return {name: statistics.median(values[2:]) for name, values in times.items()}


def main(rounds: int = ROUNDS) -> dict[int, dict[str, float]]:
    """Print a line per batch size; milliseconds per image by batch size and backend."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, load before: {load:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        file = export(MODEL, Path(folder) / "model.bioseg")
        predictors = {"torch": open_predictor(MODEL, "cpu")}
        predictors |= {name: open_predictor(file, backend=name) for name in ("onnx", "openvino")}
    values, png = phantoms.chest(np.random.default_rng(0), (SIDE_PX, SIDE_PX))[0], io.BytesIO()
    Image.fromarray(np.asarray(255 * values / values.max(), np.uint8)).save(png, "PNG")
    image, _ = predictors["torch"].prepare(to_raw_image(png.getvalue()))
    found = {}
    for count in BATCHES:
        batch = np.repeat(image[None], count, axis=0)
        found[count] = milliseconds({name: one.backends[0] for name, one in predictors.items()}, batch, rounds)
        words = ", ".join(f"{name} {value:.1f}" for name, value in found[count].items())
        print(f"batch of {count}, {batch.shape[2]}×{batch.shape[3]}: {words} ms per image")
    return found


if __name__ == "__main__":
    main()
