"""Commands that are interrupted or killed: tables and masks agree, the same command goes on, and no lock stays."""

import csv
import json
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bioseg import recipes
from bioseg.datasets import phantom_layouts
from bioseg.pipelines import train as training
from bioseg.pipelines.open import open_predictor
from bioseg.pipelines.predict import find_images
from bioseg.pipelines.predict import predict as predict_cases
from bioseg.recipe import SegmentationRecipe
from bioseg.types import BiosegError
from tests.faults.processes import finish, journal_lines, start, stop_when
from tests.pipelines.models import write_run

IMAGES = 24


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for index in range(IMAGES):
        pixels = np.random.default_rng(index).integers(0, 255, (64, 64), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02d}.png")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("model") / "run")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    phantom_layouts.write_nuclei(folder, count=12, seed=0, size_px=64)
    return folder


def masks(out: Path) -> list[str]:
    return sorted(path.name for path in out.glob("*.png") if path.name.count(".") == 1)


def rows(out: Path) -> list[str]:
    with open(out / "measurements.csv") as file:
        return sorted(row["mask"] for row in csv.DictReader(file))


def predict_here(model: Path, paths: list[Path], out: Path) -> int:
    count, problems = predict_cases(open_predictor(model, "cpu"), find_images(paths), out)
    assert problems == []
    return count


def predict(model: Path, images: Path, out: Path, tmp_path: Path) -> subprocess.Popen[str]:
    return start("predict", model, images, "--out", out, "--device", "cpu", cache=tmp_path / "cache", pause=0.3)


@pytest.mark.slow
def test_an_interrupted_prediction_lists_what_it_made_and_the_same_command_does_the_rest(
    model: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = predict(model, images, out, tmp_path)
    code, said, error = stop_when(process, lambda: len(masks(out)) >= 3, signal.SIGINT)
    assert code == 130
    assert 3 <= len(masks(out)) < IMAGES
    assert rows(out) == masks(out)
    assert "give the same command again" in said + error and "Traceback" not in error
    assert predict_here(model, [images], out) == IMAGES
    assert rows(out) == masks(out) and len(masks(out)) == IMAGES
    assert not (out / ".lock").exists()


@pytest.mark.slow
def test_a_killed_prediction_is_not_locked_and_its_masks_are_not_left_without_rows(
    model: Path, images: Path, tmp_path: Path
) -> None:
    out, others = tmp_path / "out", tmp_path / "others"
    code, _, _ = stop_when(predict(model, images, out, tmp_path), lambda: len(masks(out)) >= 3, signal.SIGKILL)
    assert code == -signal.SIGKILL
    others.mkdir()
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(others / "other.png")
    with pytest.raises(BiosegError, match=r"have files and no row in measurements\.csv"):
        predict_here(model, [others], out)  # would leave masks beside a table without them
    assert predict_here(model, [images, others], out) == IMAGES + 1
    assert rows(out) == masks(out) and len(masks(out)) == IMAGES + 1


def train(data: Path, out: Path, tmp_path: Path, *more: str) -> subprocess.Popen[str]:
    return start(
        "train", "nuclei-reference", "--data", data, "--out", out, "--epochs", 2, "--set",
        "preparation.size_px=[64,64]", "--device", "cpu", *more, cache=tmp_path / "cache",
    )  # fmt: skip


@pytest.mark.slow
def test_an_interrupted_training_is_resumed_and_two_at_once_are_one(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = train(data, out, tmp_path)
    code, _, error = stop_when(process, lambda: journal_lines(out) >= 1, signal.SIGINT)
    assert code == 130 and "--resume" in error and "Traceback" not in error
    process = train(data, out, tmp_path, "--resume")
    while not (out / ".lock").exists() and process.poll() is None:
        time.sleep(0.005)
    recipe = recipes.get("nuclei-reference")
    assert isinstance(recipe, SegmentationRecipe)
    settings = ("training.epochs=2", "preparation.size_px=[64,64]")
    with pytest.raises(BiosegError, match="another process writes to it"):
        training.train(training.TrainJob(recipe, data, out, settings=settings, resume=True, device="cpu"))
    code, _, error = finish(process)
    assert code == 0, error
    assert journal_lines(out) == 2 and (out / "report.html").exists()
    assert not (out / ".lock").exists()


@pytest.mark.slow
def test_a_killed_evaluation_may_be_repeated(model: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores"
    command = ("evaluate", model, "--data", data, "--out", out, "--device", "cpu")
    process = start(*command, cache=tmp_path / "cache")
    code, _, _ = stop_when(process, lambda: (out / "record.json").exists(), signal.SIGKILL)
    assert code == -signal.SIGKILL and not (out / "summary.json").exists()
    code, _, error = finish(start(*command, cache=tmp_path / "cache"))
    assert code == 0, error
    assert json.loads((out / "summary.json").read_text())["cases"] == 12


@pytest.mark.slow
def test_an_interrupted_study_writes_its_table_and_continues(tmp_path: Path) -> None:
    phantom_layouts.write_montgomery(tmp_path / "montgomery", count=10, size_px=64)
    out = tmp_path / "study"
    command = ("study", "cross-hospital", "--montgomery", tmp_path / "montgomery", "--out", out, "--only", 1)
    command = (*command, "--budget", "laptop", "--device", "cpu")
    run = out / "models" / "unet" / "fold-0"
    process = start(*command, cache=tmp_path / "cache")
    code, _, error = stop_when(process, lambda: journal_lines(run) >= 1, signal.SIGINT)
    assert code == 130 and "Traceback" not in error
    assert "not finished yet" in (out / "cross-hospital.md").read_text()
    before = journal_lines(run)
    process = start(*command, cache=tmp_path / "cache")
    code, _, error = stop_when(process, lambda: journal_lines(run) > before, signal.SIGINT)
    assert code == 130 and "Traceback" not in error
