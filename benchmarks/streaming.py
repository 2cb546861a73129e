"""Training on a folder that does not fit in memory: peak memory, and whether reading keeps up with the network.

``python -m benchmarks.streaming COUNT`` writes COUNT images in the RSNA layout (1024×1024, JPEG baseline inside DICOM; forty
phantoms, copied under other names), reads all of them as one epoch does, trains the reference recipe on a few batches,
and prints JSON; with ``--read-only`` it only reads.
"""

import json
import resource
import shutil
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from bioseg import recipes
from bioseg.datasets import phantom_layouts
from bioseg.datasets.layouts import rsna
from bioseg.datasets.samples import Streamed, load
from bioseg.settings import override
from bioseg.training.fit_segmenter import fit_segmenter
from bioseg.training.run import Run

DISTINCT, STEPS = 40, 2


def write(folder: Path, count: int) -> None:
    """Write COUNT images, each with its own rows in the table."""
    phantom_layouts.write_rsna(folder, count=min(count, DISTINCT), seed=0)
    table = folder / rsna.TABLE
    head, *rows = table.read_text(encoding="utf-8").splitlines()
    images = sorted((folder / "stage_2_train_images").glob("*.dcm"))
    for index in range(len(images), count):
        old = images[index % len(images)]
        name = f"{old.stem[:8]}-{index:05}"
        shutil.copy(old, old.with_name(f"{name}.dcm"))
        rows += [row.replace(old.stem, name) for row in rows[: 3 * DISTINCT] if row.startswith(old.stem)]
    table.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")


def measure(folder: Path) -> dict[str, Any]:
    """Read everything once, train on a few batches, and report times and memory."""
    recipe = recipes.get("pneumonia-reference")
    samples = load(recipe.layout(folder), recipe.preparation, memory_limit=0)
    assert isinstance(samples, Streamed)
    size, count = recipe.training.batch_size, len(samples.cases)
    started = time.perf_counter()
    seen = sum(len(batch.images) for batch in samples.batches(range(count), size))
    reading = (time.perf_counter() - started) / count
    before = peak_mb()
    if "--read-only" in sys.argv:
        return {"images": seen, "reading_ms": 1000 * reading, "reading_peak_mb": before}
    few = samples.select(range(min(count, STEPS * size)))
    batches = list(islice(few.batches(range(len(few.cases)), size), STEPS))
    network = recipe.network().to(memory_format=torch.channels_last)
    optimiser = recipe.training.optimiser([{"params": network.parameters(), "lr": 1e-3}])
    started = time.perf_counter()
    for batch in batches:
        loss = recipe.training.loss(network(batch.images.contiguous(memory_format=torch.channels_last)), batch.masks)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    alone = (time.perf_counter() - started) / sum(len(batch.images) for batch in batches)
    del batches
    with (
        tempfile.TemporaryDirectory() as name,
        Run(Path(name) / "run", {}, seed=0, device=torch.device("cpu"), resume=False) as run,
    ):
        started = time.perf_counter()
        fit_segmenter(run, override(recipe, "training.epochs=1"), few, samples.select(range(min(size, count))))
        together = (time.perf_counter() - started) / (len(few.cases) + size / 3)  # a validation image costs a third
    return {
        "images": seen,
        "reading_ms": 1000 * reading,
        "network_ms": 1000 * alone,
        "training_ms": 1000 * together,
        "reading_peak_mb": before,
        "peak_mb": peak_mb(),
    }


def peak_mb() -> float:
    """The most memory this process has held so far; where Linux says it, without that of the process it was started by."""
    status = Path("/proc/self/status")
    if status.exists():
        words = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(words.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        write(Path(place), int(sys.argv[1]))
        print(json.dumps(measure(Path(place))))
