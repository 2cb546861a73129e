"""A disk that is full: what is missing is named, what was there stays, and the work continues once there is room."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bioseg.datasets import phantom_layouts
from bioseg.pipelines import assemble, scoring
from bioseg.pipelines.predict import find_images, predict
from bioseg.pipelines.train import TrainJob, train
from bioseg.types import BiosegError
from tests.pipelines.models import small_predictor, small_recipe


@dataclass
class Disk:
    """A file system with little room: a real one, or where none may be mounted, a limit on the bytes that are flushed."""

    folder: Path
    mounted: bool
    room: int = 10**9

    def fill(self, leave: int) -> None:
        """Leave so many bytes."""
        self.room = leave
        if self.mounted:
            with open(self.folder / "filler", "wb", buffering=0) as file:
                with suppress(OSError):
                    while True:
                        file.write(bytes(4096))
                file.truncate(max(0, file.tell() - leave))

    def free(self) -> None:
        """Make room."""
        self.room = 10**9
        (self.folder / "filler").unlink(missing_ok=True)

    def flush(self, descriptor: int) -> None:
        """In place of ``os.fsync``."""
        self.room -= os.fstat(descriptor).st_size
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(folder)]
    mounted = shutil.which("mount") is not None and subprocess.run(command, capture_output=True).returncode == 0
    disk = Disk(folder, mounted)
    if not mounted:
        monkeypatch.setattr(os, "fsync", disk.flush)
    yield disk
    if mounted:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_prediction_names_the_masks_that_are_missing(disk: Disk, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for index in range(12):
        pixels = np.random.default_rng(index).integers(0, 255, (200, 200), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{index:02d}.png")
    cases = find_images([images])
    disk.fill(150_000)
    out = disk.folder / "out"
    count, problems = predict(small_predictor(), cases, out, probabilities=True)
    assert 0 < count < 12
    masks = sorted(path for path in out.glob("??.png"))
    missing = [case for case in cases if out / f"{case.path.stem}.png" not in masks]
    assert len(masks) == count and {one.path for one in problems} >= {case.path for case in missing}
    assert all("the disk is full" in one.reason and str(out) in one.reason for one in problems)
    assert not [path for path in out.iterdir() if path.name.endswith(".new")]
    disk.free()
    assert predict(small_predictor(), cases, out, probabilities=True) == (12, [])
    assert len((out / "measurements.csv").read_text().splitlines()) == 13


def test_a_training_stops_in_one_line_and_is_resumed(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (assemble, scoring):
        monkeypatch.setattr(module, "_draw", lambda *arguments: None)
    phantom_layouts.write_nuclei(tmp_path / "data", count=20, seed=0, size_px=32)
    recipe = small_recipe("training.epochs=2")
    whole = train(TrainJob(recipe, tmp_path / "data", tmp_path / "whole", device="cpu"))
    disk.fill(12_000_000)
    job = TrainJob(recipe, tmp_path / "data", disk.folder / "run", device="cpu")
    with pytest.raises(BiosegError, match=r"the disk is full; free some space .*--resume"):
        train(job)
    disk.free()
    result = train(TrainJob(recipe, tmp_path / "data", disk.folder / "run", resume=True, device="cpu"))
    assert result.summary["dice"] == whole.summary["dice"] and result.problems == []
    assert (disk.folder / "run" / "best.safetensors").read_bytes() == (
        tmp_path / "whole" / "best.safetensors"
    ).read_bytes()
