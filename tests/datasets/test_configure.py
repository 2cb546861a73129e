"""The recipe that configures itself sees training cases alone."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bioseg.datasets import folders
from bioseg.pipelines import train as training
from bioseg.pipelines.fit_fold import FoldJob
from bioseg.recipes import auto
from bioseg.types import Case


def write(folder: Path, name: str, objects: int) -> None:
    """An image with that many bright squares, and its mask."""
    mask = np.zeros((48, 64), np.uint8)
    for number in range(objects):
        mask[8:20, 4 + 20 * number : 16 + 20 * number] = 255
    for part, pixels in (("images", mask // 2 + 40), ("masks", mask)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / part / f"{name}.png")


def test_a_validation_mask_with_more_parts_changes_nothing(tmp_path: Path) -> None:
    for number in range(8):
        write(tmp_path / "train", f"t{number}", 1)
    for number in range(3):
        write(tmp_path / "val", f"v{number}", 2)
    split = folders.scan(tmp_path).split
    assert split and len(split.validation) == 3
    chosen, reasons = training.configured(auto.RECIPE, split.train, ())
    assert chosen.postprocess.keep_largest == 1
    assert "the largest object is kept: no mask has more" in reasons
    with_validation, _ = training.configured(auto.RECIPE, (*split.train, *split.validation), ())
    assert with_validation.postprocess.keep_largest == 2


def test_each_fold_takes_it_from_its_own_training_cases(tmp_path: Path, monkeypatch: Any) -> None:
    """One case of two objects: only the fold that validates on it keeps one object."""
    for number in range(6):
        write(tmp_path / "data", f"c{number}", 1 + (number == 3))
    jobs: list[FoldJob] = []
    monkeypatch.setattr(training, "fit_fold", lambda job, callbacks, samples: jobs.append(job))
    monkeypatch.setattr(training, "assemble", lambda *values, **more: None)
    training.train(training.TrainJob(auto.RECIPE, tmp_path / "data", tmp_path / "run", folds=3, device="cpu"))
    assert len(jobs) == 3

    def ids(cases: tuple[Case, ...]) -> set[str]:
        return {case.id for case in cases}

    kept = [(job.recipe.postprocess.keep_largest, "c3" in ids(job.validation)) for job in jobs]
    assert sorted(kept) == [(1, True), (2, False), (2, False)]
    for job in jobs:
        assert job.record["recipe"]["postprocess"]["keep_largest"] == job.recipe.postprocess.keep_largest
