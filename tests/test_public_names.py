"""``import bioseg``: the names it promises, quickly, without PyTorch, and what they do."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bioseg
from bioseg.datasets import phantom_layouts
from bioseg.images.formats import RawImage
from bioseg.pipelines import assemble, scoring
from bioseg.postprocess.masks import ClassPrediction
from bioseg.types import BiosegError

NAMES = [
    "BiosegError", "Callbacks", "Case", "Measurements", "Prediction", "Predictor", "Problem", "SegmentationRecipe", "Training",
    "TranslationRecipe", "call", "evaluate", "get_recipe", "load", "measure", "predict_many", "train",
]  # fmt: skip


def python(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


def test_the_names() -> None:
    assert bioseg.__all__ == NAMES
    for name in NAMES:
        assert getattr(bioseg, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'unet'"):
        _ = bioseg.unet


def test_packages_that_can_be_used_alone() -> None:
    for package in (bioseg.evaluation, bioseg.datasets):
        assert all(getattr(package, name).__name__ == name for name in package.__all__)
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            _ = package.nothing
    code = (
        "import sys, bioseg; bioseg.evaluation.dice, bioseg.evaluation.instance_scores; print('torch' in sys.modules)"
    )
    assert python(code) == ["False"]


def test_importing_is_quick_and_loads_no_torch() -> None:
    code = (
        "import sys, time; started = time.process_time(); import bioseg; "
        "print(time.process_time() - started, 'torch' in sys.modules, 'numpy' in sys.modules)"
    )
    seconds, torch, numpy = min(python(code) for _ in range(3))
    assert float(seconds) < 0.5 and (torch, numpy) == ("False", "False")


@pytest.mark.slow
def test_names_hold_whatever_was_imported_before() -> None:
    code = (
        "import bioseg; bioseg.Predictor; bioseg.train; bioseg.evaluate; import bioseg.recipes.auto; "
        "print(bioseg.get_recipe('auto').name, callable(bioseg.train), callable(bioseg.evaluate), callable(bioseg.load))"
    )
    assert python(code) == ["auto", "True", "True", "True"]


def test_train_load_predict_evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (assemble, scoring):
        monkeypatch.setattr(module, "_draw", lambda *arguments: None)
    phantom_layouts.write_nuclei(tmp_path / "data", count=20, seed=0, size_px=32)
    run, settings, said = tmp_path / "run", ("preparation.size_px=[32,32]", "training.epochs=1"), list[str]()
    result = bioseg.train(
        "nuclei-reference", tmp_path / "data", str(run), settings=settings, device="cpu",
        callbacks=bioseg.Callbacks(log=said.append),
    )  # fmt: skip
    assert result.problems == [] and result.report.exists() and "as asked: training.epochs=1" in said

    pixels = np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    predictor = bioseg.load(run, "cpu")
    masks = [
        predictor.predict(source).mask
        for source in (
            pixels,
            tmp_path / "image.png",
            str(tmp_path / "image.png"),
            (tmp_path / "image.png").read_bytes(),
        )
    ]
    assert all(mask.shape == (40, 50) and (mask == masks[0]).all() for mask in masks)

    found = list(bioseg.predict_many(predictor, [pixels, tmp_path / "image.png"], batch_size=2))
    assert all(isinstance(one, bioseg.Prediction) and (one.mask == masks[0]).all() for one in found)

    summary, problems = bioseg.evaluate(run, tmp_path / "data", tmp_path / "scores", device="cpu")
    assert problems == [] and summary["cases"] == 20 and sum(summary["seen"].values()) == 18
    assert json.loads((tmp_path / "scores" / "summary.json").read_text())["seen"] == summary["seen"]
    unseen, _ = bioseg.evaluate(run, tmp_path / "data", tmp_path / "unseen", unseen_only=True, device="cpu")
    assert unseen["cases"] == 2


def test_measurements_of_a_prediction_by_name() -> None:
    mask = np.zeros((20, 30), bool)
    mask[2:6, 3:8] = mask[10:15, 20:22] = True
    prediction = bioseg.Prediction(mask, mask.astype(np.float32) * np.float32(0.75))
    image = RawImage(np.where(mask, 100, 20).astype(np.uint8), spacing_mm=(0.5, 2.0))
    measured = bioseg.measure(prediction, image)
    expected = {
        "rows": 20, "cols": 30, "area_px": 30, "area_mm2": 30.0, "components": 2, "mean_probability": 0.75, "quality": None,
        "flag": None,
    }  # fmt: skip
    assert measured.image.items() >= expected.items()
    assert measured.classes == {}
    both = {
        "disc": ClassPrediction(mask, prediction.probability),
        "cup": ClassPrediction(~mask, prediction.probability),
    }
    several = bioseg.measure(replace(prediction, classes=both), image)
    assert [one["class"] for one in several.objects] == ["disc", "disc", "cup"]
    classes = several.classes
    assert [one["area_px"] for one in classes.values()] == [30, 570] and classes["disc"]["components"] == 2
    first, second = measured.objects
    assert (first["object"], first["area_px"], first["left"], first["top"]) == (1, 20, 3, 2)
    assert (second["area_mm2"], second["mean_intensity"], second["centroid_row"]) == (10.0, 100.0, 12.0)
    plain = bioseg.measure(prediction, image.pixels)
    assert plain.image["area_mm2"] is None and len(plain.objects) == 2
    labels = bioseg.Prediction(mask, prediction.probability, mask.astype(np.int32))
    assert len(bioseg.measure(labels, image).objects) == 1
    with pytest.raises(BiosegError, match=r"the prediction is \(20, 30\), the image \(30, 20\)"):
        bioseg.measure(prediction, image.pixels.T)


def test_train_takes_a_recipe_of_one_s_own_and_a_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (assemble, scoring):
        monkeypatch.setattr(module, "_draw", lambda *arguments: None)
    phantom_layouts.write_images_masks(tmp_path / "data", count=4, size_px=32)
    ids = [f"case-{index:03d}" for index in range(4)]
    parts = ("train", "validation", "train", "test")
    rows = "".join(f"{name},{part}\n" for name, part in zip(ids, parts, strict=True))
    (tmp_path / "split.csv").write_text("id,part\n" + rows)
    recipe = bioseg.get_recipe("nuclei-reference")
    settings = ("preparation.size_px=[32,32]", "training.epochs=1")
    bioseg.train(
        recipe, tmp_path / "data", tmp_path / "run", split=tmp_path / "split.csv", settings=settings, device="cpu"
    )
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    assert record["parts"] == {"train": ["case-000", "case-002"], "validation": ["case-001"], "test": ["case-003"]}
    with pytest.raises(BiosegError, match="translation recipe"):
        bioseg.train("cxr-cyclegan-unet", tmp_path / "data", tmp_path / "other")
    with pytest.raises(BiosegError, match="--folds 1"):
        bioseg.train(recipe, tmp_path / "data", tmp_path / "other", folds=1)
