"""The commands as a person gives them: what they write, say and return, on good and on bad input."""

import csv
import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bioseg.datasets import phantom_layouts, phantoms
from bioseg.evaluation.summary import Row, write_csv
from tests.commands import Bioseg

COMMANDS = [
    "recipes",
    "models",
    "train",
    "evaluate",
    "predict",
    "translate",
    "report",
    "compare",
    "data",
    "data check",
    "doctor",
    "demo",
]


def test_help_answers_quickly_and_names_every_command() -> None:
    times = []
    for _ in range(3):
        started = _seconds_of_children()
        done = subprocess.run([sys.executable, "-m", "bioseg", "--help"], capture_output=True, text=True, check=True)
        times.append(_seconds_of_children() - started)
    for command in COMMANDS:
        assert command.split()[0] in done.stdout
    assert min(times) < 0.5


def _seconds_of_children() -> float:
    """Of the CPU, so that a busy machine does not count."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str, bioseg: Bioseg) -> None:
    result = bioseg(*command.split(), "--help")
    assert result.code == 0
    assert command == "data" or "Example" in result.out


def test_recipes(bioseg: Bioseg) -> None:
    rows = json.loads(bioseg("recipes", "--json").out)
    assert {row["name"]: row["parameters"] for row in rows}["nuclei-reference"] == 1_941_105
    assert all(set(row) == {"name", "task", "purpose", "parameters"} for row in rows)
    assert "nuclei-reference" in bioseg("recipes").out


def test_a_run_holds_what_it_promises(run_folder: Path) -> None:
    for name in (
        "record.json", "journal.jsonl", "best.safetensors", "last/state.json", "scores.csv", "summary.json",
        "report.html", "figures/curves.png", "figures/best-median-worst.png", "figures/confusion.png",
    ):  # fmt: skip
        assert (run_folder / name).stat().st_size > 0, name
    summary = json.loads((run_folder / "summary.json").read_text())
    with open(run_folder / "scores.csv") as file:
        rows = list(csv.DictReader(file))
    assert summary["cases"] == len(rows)
    assert summary["dice"]["mean"] == pytest.approx(np.mean([float(row["dice"]) for row in rows]), abs=1e-6)
    assert {"mean", "sd", "median", "p5", "worst", "ci95"} <= set(summary["dice"])


def test_evaluate(run_folder: Path, nuclei: Path, tmp_path: Path, bioseg: Bioseg) -> None:
    result = bioseg("evaluate", run_folder, "--data", nuclei, "--out", tmp_path / "e", "--json")
    assert result.code == 0, result.error
    summary = json.loads(result.out)
    assert summary == json.loads((tmp_path / "e" / "summary.json").read_text())
    assert summary["cases"] == 24
    parts = json.loads((run_folder / "record.json").read_text())["parts"]
    assert summary["seen"] == {"validation": len(parts["validation"]), "train": len(parts["train"])}
    assert "22 of 24 images trained or chose this model: optimistically biased" in result.error
    assert (tmp_path / "e" / "report.html").exists()
    unseen = bioseg("evaluate", run_folder, "--data", nuclei, "--out", tmp_path / "u", "--unseen-only")
    assert unseen.code == 0, unseen.error
    summary = json.loads((tmp_path / "u" / "summary.json").read_text())
    assert summary["cases"] == 2 and summary["seen"] == {"validation": 0, "train": 0}
    with open(tmp_path / "u" / "scores.csv") as file:
        assert {row["case"] for row in csv.DictReader(file)} == set(parts["test"])


def test_predict_writes_masks_in_the_images_own_size(run_folder: Path, tmp_path: Path, bioseg: Bioseg) -> None:
    images = tmp_path / "images"
    (images / "more").mkdir(parents=True)
    for name, shape in (("a.png", (50, 80, 3)), ("b.jpg", (97, 64, 3)), ("c.tif", (70, 70)), ("more/a.png", (33, 40))):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)).save(images / name)
    result = bioseg("predict", run_folder, images, "--out", tmp_path / "masks", "--probabilities")
    assert result.code == 0, result.error
    with open(tmp_path / "masks" / "measurements.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 == len({row["mask"] for row in rows})
    for row in rows:
        mask = np.array(Image.open(tmp_path / "masks" / row["mask"]))
        own = Image.open(row["file"])
        assert mask.shape == (own.height, own.width) == (int(row["rows"]), int(row["cols"]))
        assert set(np.unique(mask)) <= {0, 255}
        assert (mask == 255).sum() == int(row["area_px"])
        assert (
            np.array(Image.open(tmp_path / "masks" / row["mask"].replace(".png", ".probability.png"))).dtype
            == np.uint16
        )


def test_models_are_listed_and_used_by_name(tmp_path: Path, bioseg: Bioseg) -> None:
    rows = json.loads(bioseg("models", "--json").out)
    assert {"ct-lungs", "cardiac-lv", "nuclei"} <= {row["name"] for row in rows}
    assert "nuclei" in bioseg("models").out
    image, _ = phantoms.nuclei(np.random.default_rng(3), 128)
    Image.fromarray(image).save(tmp_path / "cells.png")
    result = bioseg("predict", "nuclei", tmp_path / "cells.png", "--out", tmp_path / "out")
    assert result.code == 0, result.error
    found = np.array(Image.open(tmp_path / "out" / "cells.labels.png"))
    mask = np.array(Image.open(tmp_path / "out" / "cells.png"))
    assert found.dtype == np.uint16 and ((found > 0) == (mask > 0)).all()
    with open(tmp_path / "out" / "objects.csv") as file:
        objects = list(csv.DictReader(file))
    assert [int(row["object"]) for row in objects] == list(range(1, found.max() + 1))
    grey = image.astype(float)[..., :3].mean(axis=-1) if image.ndim == 3 else image
    for row in objects[:3]:
        own = found == int(row["object"])
        rows_, cols = np.nonzero(own)
        assert int(row["area_px"]) == own.sum()
        assert float(row["centroid_row"]) == pytest.approx(rows_.mean(), abs=0.01)
        assert (int(row["left"]), int(row["top"])) == (cols.min(), rows_.min())
        assert (int(row["width"]), int(row["height"])) == (np.ptp(cols) + 1, np.ptp(rows_) + 1)
        assert float(row["mean_intensity"]) == pytest.approx(grey[own].mean(), abs=0.01)
        assert 0 <= float(row["eccentricity"]) < 1


@pytest.mark.slow
def test_boxes_become_a_submission(tmp_path: Path, bioseg: Bioseg) -> None:
    phantom_layouts.write_rsna(tmp_path / "data", count=8, seed=0, size_px=128)
    small = ("--set", "preparation.size_px=[64,64]", "--set", "training.batch_size=2", "--epochs", "1")
    run = tmp_path / "run"
    result = bioseg("train", "pneumonia-reference", "--data", tmp_path / "data", "--out", run, *small)
    assert result.code == 0, result.error
    assert (run / "figures" / "boxes.png").stat().st_size > 0
    assert "rsna_score" in json.loads((run / "summary.json").read_text())
    images = tmp_path / "data" / "stage_2_train_images"
    result = bioseg("predict", run, images, "--out", tmp_path / "out")
    assert result.code == 0, result.error
    with open(tmp_path / "out" / "submission.csv") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["patientId", "PredictionString"]
    assert {row["patientId"] for row in rows} == {path.stem for path in images.glob("*.dcm")}
    for row in rows:
        values = [float(value) for value in row["PredictionString"].split()]
        assert len(values) % 5 == 0
        for confidence, x, y, width, height in zip(*[iter(values)] * 5, strict=True):
            assert 0 <= confidence <= 1 and width > 0 and height > 0
            assert x >= 0 and x + width <= 128 and y >= 0 and y + height <= 128


def test_compare(tmp_path: Path, bioseg: Bioseg) -> None:
    base, better = tmp_path / "base", tmp_path / "better"
    for folder, gain, count in ((base, 0.0, 8), (better, 0.01, 7)):  # the last case is evaluated by one run only
        rows = [Row(f"c{n}", f"p{n}", "", {"dice": 0.8 + n / 100 + gain}) for n in range(count)]
        write_csv(rows, folder / "scores.csv")
    first, second = json.loads(bioseg("compare", base, better, "--json").out)
    assert "difference" not in first
    assert second["difference"] == pytest.approx(0.01, abs=1e-5)
    assert second["shared"] == second["better"] == 7
    assert "+0.0100" in bioseg("compare", base, better).out
    write_csv([Row("c0", "p0", "", {"dice": 0.5})], better / "test" / "scores.csv")
    assert json.loads(bioseg("compare", base, better, "--json").out)[1]["shared"] == 7  # only one has a test part
    refused = bioseg("compare", base, better, "--score", "beauty")
    assert refused.code == 1 and "beauty" in refused.error
    assert bioseg("compare", tmp_path).code == 1


def test_one_bad_image_costs_only_itself(run_folder: Path, tmp_path: Path, bioseg: Bioseg) -> None:
    good, cut, empty, bomb = (tmp_path / f"{name}.png" for name in ("good", "cut", "empty", "bomb"))
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(good)
    cut.write_bytes(good.read_bytes()[:40])
    empty.touch()
    Image.new("1", (20_000, 20_000)).save(bomb)
    result = bioseg("predict", run_folder, good, cut, empty, bomb, "--out", tmp_path / "masks")
    assert result.code == 1
    assert [file.name for file in sorted((tmp_path / "masks").glob("*.png"))] == ["good.png"]
    for name in ("cut.png", "empty.png", "bomb.png"):
        assert len([line for line in result.error.splitlines() if name in line]) == 1, name
    assert "20000" in result.error.replace(",", "").replace(" ", "")
    assert "Traceback" not in result.error


def test_a_mask_never_overwrites_its_image(run_folder: Path, tmp_path: Path, bioseg: Bioseg) -> None:
    image = tmp_path / "a.png"
    Image.fromarray(np.full((40, 40), 7, np.uint8)).save(image)
    before = image.read_bytes()
    result = bioseg("predict", run_folder, image, "--out", tmp_path)
    assert result.code == 1 and "overwritten" in result.error
    assert image.read_bytes() == before


@pytest.mark.parametrize(
    "fault", ["missing", "not a run", "foreign record", "no weights", "foreign weights", "cut weights"]
)
def test_a_model_that_is_none(fault: str, run_folder: Path, tmp_path: Path, bioseg: Bioseg) -> None:
    model = tmp_path / "model"
    if fault == "not a run":
        model.mkdir()
    elif fault != "missing":
        shutil.copytree(run_folder, model)
    if fault == "foreign record":
        text = (model / "record.json").read_text()
        (model / "record.json").write_text(text.replace("bioseg.models.unet:nuclei_unet", "os:system"))
    elif fault == "no weights":
        (model / "best.safetensors").unlink()
    elif fault == "foreign weights":
        (model / "best.safetensors").write_bytes(b"PK\x03\x04 something else")
    elif fault == "cut weights":
        (model / "best.safetensors").write_bytes((run_folder / "best.safetensors").read_bytes()[:5000])
    image = tmp_path / "a.png"
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(image)
    result = bioseg("predict", model, image, "--out", tmp_path / "masks")
    assert result.code == 1
    assert len(result.error.strip().splitlines()) == 1
    assert ("os:system" if fault == "foreign record" else "model") in result.error
    assert not (tmp_path / "masks").exists()


@pytest.mark.parametrize("content", ["nothing", "one image", "images only", "empty masks", "masks of another size"])
def test_training_on_a_poor_folder_is_refused_in_one_line(content: str, tmp_path: Path, bioseg: Bioseg) -> None:
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    count = {"nothing": 0, "one image": 1}.get(content, 4)
    if count and content != "images only":
        (data / "masks").mkdir()
    for index in range(count):
        Image.fromarray(np.full((48, 48), 9 * index, np.uint8)).save(data / "images" / f"{index}.png")
        if (data / "masks").exists():
            shape = (20, 30) if content == "masks of another size" else (48, 48)
            value = 0 if content == "empty masks" else 255
            Image.fromarray(np.full(shape, value, np.uint8)).save(data / "masks" / f"{index}.png")
    result = bioseg("train", "auto", "--data", data, "--out", tmp_path / "run")
    assert result.code == 1
    assert len(result.error.strip().splitlines()) == 1, result.error
    assert "Traceback" not in result.error
    assert not (tmp_path / "run").exists()


def test_wrong_words(run_folder: Path, nuclei: Path, tmp_path: Path, bioseg: Bioseg) -> None:
    for arguments, said in (
        (("train", "nuclei-references", "--data", nuclei, "--out", tmp_path / "r"), "no such recipe"),
        (("train", "auto", "--data", tmp_path / "nowhere", "--out", tmp_path / "r"), "no such folder"),
        (
            ("train", "auto", "--data", nuclei, "--out", tmp_path / "r", "--set", "training.speed=9"),
            "there is no 'speed'",
        ),
        (("train", "auto", "--data", nuclei, "--out", tmp_path / "r", "--folds", "1"), "give 2 or more"),
        (("train", "auto", "--data", nuclei, "--out", tmp_path / "r", "--device", "abacus"), "--device abacus"),
        (("predict", run_folder, tmp_path / "nowhere.png", "--out", tmp_path / "m"), "no such file"),
        (("report", tmp_path), "record.json"),
        (("train", "nuclei-reference", "--data", nuclei, "--out", run_folder), "--resume"),
    ):
        result = bioseg(*arguments)
        assert result.code == 1 and said in result.error, arguments
    assert bioseg("train").code == 2


@pytest.mark.slow
def test_folds_score_every_case_by_a_network_that_has_not_seen_it(nuclei: Path, tmp_path: Path, bioseg: Bioseg) -> None:
    out = tmp_path / "run"
    small = ("--set", "preparation.size_px=[32,32]", "--epochs", "1", "--folds", "2")
    result = bioseg("train", "nuclei-reference", "--data", nuclei, "--out", out, *small)
    assert result.code == 0, result.error
    seen: list[str] = []
    for fold in range(2):
        parts = json.loads((out / f"fold-{fold}" / "record.json").read_text())["parts"]
        assert not set(parts["train"]) & set(parts["validation"])
        seen += parts["validation"]
    with open(out / "scores.csv") as file:
        assert sorted(row["case"] for row in csv.DictReader(file)) == sorted(seen)
    assert len(seen) == len(set(seen)) == 22
    assert json.loads((out / "test" / "summary.json").read_text())["cases"] == 2
    again = bioseg("train", "nuclei-reference", "--data", nuclei, "--out", out, *small, "--resume")
    assert again.code == 0, again.error


def test_reports_side_by_side(run_folder: Path, tmp_path: Path, bioseg: Bioseg) -> None:
    other = tmp_path / "other"
    shutil.copytree(run_folder, other)
    result = bioseg("report", run_folder, other, "--out", tmp_path / "both.html")
    assert result.code == 0, result.error
    assert "other" in (tmp_path / "both.html").read_text()


def test_data_check_and_doctor(nuclei: Path, tmp_path: Path, bioseg: Bioseg) -> None:
    assert bioseg("data", "check", nuclei).code == 0
    assert bioseg("data", "check", tmp_path).code == 1
    facts = json.loads(bioseg("doctor", "--json").out)
    assert {"python", "torch", "gpu"} <= set(facts)
