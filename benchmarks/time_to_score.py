"""Time to the score that each study reports: the reference recipe and ours, on the same images.

Both are trained on the same prepared images and evaluated by the same score on the same validation set after every epoch.
Ours is the pretrained U-Net with its training, on a schedule of a few epochs. The reference is stopped once it has taken
``LIMIT`` times as long as ours; its time is then a lower bound. Real archives are used where they are.
"""

import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bioseg import recipes
from bioseg.datasets import phantom_layouts
from bioseg.datasets.augment import Augmentation
from bioseg.datasets.samples import Samples, load
from bioseg.recipe import SegmentationRecipe
from bioseg.training.fit_segmenter import fit_segmenter
from bioseg.training.run import Run
from bioseg.types import Callbacks

LIMIT = 7.0
ENCODER_RATE = 9e-4
"""Higher than in a full training, which can afford to change the ImageNet weights slowly."""


@dataclass(frozen=True)
class Task:
    """One system.

    Attributes:
        reference: Its recipe.
        archive: Real data; without it ``phantom``.
        phantom: Writes images in the system's layout.
        score: Column of the journal.
        reported: What the study reports.
        epochs: Length of our schedule.
        batch: Batch size of ours.
    """

    reference: str
    archive: str
    phantom: Callable[..., None]
    score: str
    reported: float
    epochs: int
    batch: int = 8


TASKS = (
    Task("ct-lungs", "ct-lungs/finding-lungs-in-ct-data.tar.xz", phantom_layouts.write_ct_lungs, "iou", 0.8225, 6, 4),
    Task("cardiac-lv", "cardiac-lv/lv_deeplearning.zip", phantom_layouts.write_cardiac_lv, "dice", 0.7496, 3, 4),
    Task("nuclei", "nuclei/stage1_train.zip", phantom_layouts.write_nuclei, "iou", 0.8389, 3),
    Task("pneumonia", "", phantom_layouts.write_rsna, "iou", 0.7312, 6, 4),
)


class ReachedError(Exception):
    """The score is there, or time is up."""


def ours(task: Task, reference: SegmentationRecipe) -> SegmentationRecipe:
    """The reference's images and split with our network and training."""
    own = recipes.get(task.reference)
    network = replace(own.network, arguments=(("encoder", "lite0"), ("imagenet", True), ("momentum", 0.1)))
    training = replace(own.training, epochs=task.epochs, batch_size=task.batch, encoder_learning_rate=ENCODER_RATE)
    augmentation = Augmentation(flip_cols=reference.augmentation.flip_cols)
    return replace(reference, network=network, training=training, augmentation=augmentation)


def until(recipe: SegmentationRecipe, task: Task, samples: Samples, folder: Path, limit_s: float) -> dict[str, Any]:
    """Train until the score; seconds, epochs and the best score, ``reached`` or not."""
    split = recipe.split(list(samples.cases))
    place = {case.id: index for index, case in enumerate(samples.cases)}
    train, validation = [samples.select([place[case.id] for case in part]) for part in (split.train, split.validation)]
    rows: list[dict[str, Any]] = []
    started = time.perf_counter()

    def finished(name: str, row: dict[str, Any]) -> None:
        rows.append(row)
        if row[task.score] >= task.reported or time.perf_counter() - started > limit_s:
            raise ReachedError

    run = Run(folder, {}, seed=recipe.training.seed, device=torch.device("cpu"), resume=False)
    with suppress(ReachedError), run:
        fit_segmenter(run, recipe, train, validation, Callbacks(epoch=finished))
    best = max(row[task.score] for row in rows)
    return {
        "seconds": time.perf_counter() - started, "epochs": len(rows), "best": best, "reached": best >= task.reported,
    }  # fmt: skip


def measure(task: Task, archives: Path) -> dict[str, Any]:
    """Ours first, then the reference."""
    reference = recipes.get(f"{task.reference}-reference")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, data = archives / task.archive, folder / "data"
        real = bool(task.archive) and source.exists()
        if real:
            _unpack(source, data)
        else:
            task.phantom(data, count=120, seed=0)
        samples = load(reference.layout(data), reference.preparation, cache=folder / "cache")
        mine = until(ours(task, reference), task, samples, folder / "ours", float("inf"))
        theirs = until(reference, task, samples, folder / "reference", LIMIT * mine["seconds"])
    return {
        "system": task.reference, "real": real, "score": task.score,
        "reported": task.reported, "ours": mine, "reference": theirs, "ratio": theirs["seconds"] / mine["seconds"],
    }  # fmt: skip


def _unpack(source: Path, folder: Path) -> None:
    if source.suffix == ".zip":
        zipfile.ZipFile(source).extractall(folder)
    else:
        with tarfile.open(source) as packed:
            packed.extractall(folder, filter="data")
