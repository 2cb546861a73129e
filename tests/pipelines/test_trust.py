"""The quality model of a small model of phantom chests: what it flags, and where its estimates are written."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bioseg import recipes
from bioseg.datasets import phantom_layouts
from bioseg.datasets.samples import InMemory
from bioseg.evaluation.summary import read_csv
from bioseg.images.formats import RawImage
from bioseg.inference.predictor import Predictor
from bioseg.pipelines import assemble, models, predict
from bioseg.pipelines.open import open_predictor
from bioseg.pipelines.quality import renew_quality
from bioseg.pipelines.train import TrainJob, train
from bioseg.quality import fit as fit_quality
from bioseg.quality.model import MEASURES, QualityModel
from bioseg.recipe import SegmentationRecipe
from bioseg.record import QUALITY, encode, read_spec
from bioseg.settings import override
from bioseg.specs import call
from bioseg.types import SILENT, BiosegError, Callbacks, Case
from tests.foreign_images import FOREIGN

SIZE = 64
SETTINGS = (
    f"preparation.size_px=[{SIZE},{SIZE}]", "training.epochs=20", "training.batch_size=8", "augmentation=null",
    "network.momentum=0.3", "split.test=0.15", "split.validation=0.25", "quality.flag_below=0.8",
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``data`` of phantom chests and ``run``, a short training on them."""
    folder = tmp_path_factory.mktemp("trust")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIOSEG_CACHE", str(folder / "cache"))
        patch.setattr(fit_quality, "COPIES", 40)
        phantom_layouts.write_montgomery(folder / "data", count=28, seed=0, size_px=SIZE)
        recipe = recipes.get("cxr-lungs")
        assert isinstance(recipe, SegmentationRecipe)
        train(TrainJob(recipe, folder / "data", folder / "run", settings=SETTINGS, device="cpu"))
    return folder


def test_what_is_no_chest_is_flagged_and_chests_are_not(made: Path) -> None:
    predictor = open_predictor(made / "run", "cpu")
    assert set(FOREIGN) == {"cat", "hand", "black", "lateral"}
    foreign = {name: predictor.predict(RawImage(draw(SIZE))).quality for name, draw in FOREIGN.items()}
    for name, quality in foreign.items():
        assert quality is not None and quality.flagged, (name, quality)
    rows = read_csv(made / "run" / "test" / "scores.csv")
    good = [row for row in rows if row.scores["dice"] >= 0.8]
    assert len(good) >= 4
    assert sum(row.scores["flagged"] for row in good) <= 1
    worst = max(quality.score for quality in foreign.values() if quality)
    assert np.median([row.scores["quality"] for row in good]) > worst + 0.2


def test_quality_is_about_the_dice_to_expect(made: Path) -> None:
    rows = [row.scores for part in ("run", "run/test") for row in read_csv(made / part / "scores.csv")]
    assert len(rows) >= 10
    assert np.mean([abs(row["quality"] - row["dice"]) for row in rows]) < 0.1


def test_the_file_is_small_and_can_be_written_anew(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_quality, "COPIES", 40)
    written = (made / "run" / QUALITY).read_bytes()
    assert len(written) < 300_000
    quality = read_spec(made / "run", QUALITY, QualityModel)
    assert quality.flag_below == 0.8 and len(quality.limits) == len(MEASURES)
    assert json.loads(json.dumps(encode(quality))) == json.loads(written)
    for name in ("record.json", "best.safetensors"):
        shutil.copy(made / "run" / name, tmp_path / name)
    assert open_predictor(tmp_path, "cpu").quality is None
    renew_quality(tmp_path, made / "data", device="cpu")
    renewed = open_predictor(tmp_path, "cpu").quality
    assert isinstance(renewed, QualityModel) and np.allclose(renewed.limits, quality.limits, atol=0.01)


def test_predict_writes_it(made: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(FOREIGN["lateral"](SIZE)).save(tmp_path / "in" / "lateral.png")
    shutil.copy(next((made / "data" / "CXR_png").iterdir()), tmp_path / "in" / "chest.png")
    lines: list[str] = []
    predictor = open_predictor(made / "run", "cpu")
    images = predict.find_images([tmp_path / "in"])
    predict.predict(predictor, images, tmp_path / "out", callbacks=Callbacks(log=lines.append))
    with open(tmp_path / "out" / "measurements.csv") as file:
        rows = {Path(row["file"]).stem: row for row in csv.DictReader(file)}
    assert rows["chest"]["flag"] == "" and float(rows["chest"]["quality"]) > 0.8
    assert rows["lateral"]["flag"] != "" and float(rows["lateral"]["quality"]) < 0.5
    assert lines[-1] == f"2 of 2 images segmented in {tmp_path / 'out'}, 1 to review"
    assert all(line.startswith("flag: ") and line.endswith("lateral.png") for line in lines[:-1]) and len(lines) > 1

    lines.clear()
    without = replace(predictor, quality=None, applicability=None)
    predict.predict(without, images, tmp_path / "without", callbacks=Callbacks(log=lines.append))
    with open(tmp_path / "without" / "measurements.csv") as file:
        assert {(row["quality"], row["flag"]) for row in csv.DictReader(file)} == {("", "")}
    assert lines == [f"2 of 2 images segmented in {tmp_path / 'without'}"]


def test_masks_are_the_same_with_and_without(made: Path) -> None:
    predictor = open_predictor(made / "run", "cpu")
    raw_image = RawImage(FOREIGN["lateral"](SIZE))
    with_quality = predictor.predict(raw_image)
    without = replace(predictor, quality=None).predict(raw_image)
    assert without.quality is None
    assert np.allclose(without.probability, with_quality.probability, atol=1e-6)
    assert np.array_equal(without.mask, with_quality.mask)


def test_the_report_says_how_far_to_trust_it(made: Path) -> None:
    page = (made / "run" / "report.html").read_text()
    assert "How far to trust it" in page and "images for review" in page
    assert (made / "run" / "figures" / "trust.png").stat().st_size > 0
    assert "<th>Quality" not in page and "<th>Flagged" not in page


def test_a_pretrained_model_keeps_it(made: Path, tmp_path: Path) -> None:
    folder = models.package(made / "run", "phantoms", "card", root=tmp_path)
    assert open_predictor(folder, "cpu").quality == open_predictor(made / "run", "cpu").quality


def test_a_recipe_has_one_or_not() -> None:
    recipe = recipes.get("cxr-lungs")
    assert override(recipe, "quality=null").quality is None  # type: ignore[union-attr]
    assert dict(override(recipe, "quality.flag_below=0.8").quality.arguments) == {"flag_below": 0.8}  # type: ignore[union-attr]
    with pytest.raises(BiosegError, match="patches"):
        override(recipe, "preparation.fit=patches")


def test_a_fold_is_fitted_to_its_own_parts_and_the_ensemble_to_the_first_fold_s(tmp_path: Path) -> None:
    cases = {name: Case(name, name, Path("x")) for name in "abc"}
    recipe = recipes.get("cxr-lungs")
    assert isinstance(recipe, SegmentationRecipe)
    whole = Predictor(replace(recipe, quality=call(names_of)), ())
    parts = [("ab", "c"), ("ac", "b")]
    folds = [
        assemble._Fold(tmp_path / f"fold-{k}", whole, *([cases[name] for name in part] for part in pair))
        for k, pair in enumerate(parts)
    ]
    samples = InMemory(list(cases.values()), (), torch.zeros(3, 1, 2, 2), torch.zeros(3, 1, 2, 2))
    whole, folds = assemble._fit_quality(tmp_path, whole, folds, samples, SILENT)
    expected = [[list("ab"), list("c")], [list("ab"), list("c")], [list("ac"), list("b")]]
    assert [one.quality for one in (whole, *(fold.predictor for fold in folds))] == expected
    places = (tmp_path, tmp_path / "fold-0", tmp_path / "fold-1")
    assert [json.loads((folder / QUALITY).read_text()) for folder in places] == expected


def names_of(predictor: Predictor, train: InMemory, validation: InMemory) -> list[list[str]]:
    return [[case.id for case in part.cases] for part in (train, validation)]
