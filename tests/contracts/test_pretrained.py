"""What every pretrained model promises: it opens by name, offline; its weights are the ones of its record; its card is whole."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bioseg import recipes
from bioseg.datasets import cases as reading
from bioseg.evaluation import overlap
from bioseg.evaluation.instances import instance_scores
from bioseg.images.formats import RawImage
from bioseg.inference import pretrained
from bioseg.pipelines import models
from bioseg.pipelines.open import open_predictor
from bioseg.pipelines.predict import predict
from bioseg.record import fingerprint
from bioseg.types import BiosegError

from ..foreign_images import FOREIGN

NAMES = pretrained.names()
ARCHIVED = {
    "ct-lungs": ("finding-lungs", "iou", 0.97),
    "nuclei": ("stage1_train", "ap", 0.5),
    "cardiac-lv": ("sunnybrook-png", "dice", 0.9),
    "cxr-lungs": ("montgomery", "dice", 0.97),
    "cxr-lungs-all": ("montgomery", "dice", 0.97),
}
"""Archive, score and what the mean over a few images that the model has not learned from must reach."""
JUDGING = [name for name in NAMES if (pretrained.find(name) / QUALITY).exists()]
"""Those that say how far to trust them."""


def test_the_models_of_our_own_recipes_are_there() -> None:
    assert set(NAMES) == set(ARCHIVED)


@pytest.mark.parametrize("name", NAMES)
class TestEach:
    def test_it_is_small_and_the_recipe_of_today(self, name: str) -> None:
        folder = pretrained.find(name)
        assert (folder / "best.safetensors").stat().st_size < 12_000_000
        record = json.loads((folder / "record.json").read_text())
        assert record["fingerprint"] == fingerprint(recipes.get(name))
        assert record["name"] == name
        assert "parts" not in record and "command" not in record

    def test_its_card_says_what_a_user_must_know(self, name: str) -> None:
        card = (pretrained.find(name) / "card.md").read_text()
        for word in ("not a medical device", "Trained on", "Split", "95 % interval", "Limits", "Training"):
            assert word in card, word
        assert "terms" in card or "CC0" in card

    def test_its_summary_is_what_the_list_says(self, name: str) -> None:
        row = next(row for row in models.describe_models() if row["name"] == name)
        summary = json.loads((pretrained.find(name) / "summary.json").read_text())
        assert row["dice"] == summary["dice"]["mean"] > 0.85
        assert f"{row['dice']:.3f}".lstrip("0") in (pretrained.find(name) / "card.md").read_text()

    def test_other_weights_are_refused(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        shutil.copytree(pretrained.find(name), tmp_path / name)
        monkeypatch.setattr(pretrained, "ROOT", tmp_path)
        open_predictor(Path(name), "cpu")
        weights = tmp_path / name / "best.safetensors"
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(bytes(data))
        with pytest.raises(BiosegError, match="SHA-256"):
            open_predictor(Path(name), "cpu")
        weights.unlink()
        with pytest.raises(BiosegError, match="missing"):
            open_predictor(Path(name), "cpu")

    @pytest.mark.data
    def test_it_holds_on_real_files_in_their_original_form(self, name: str, archive, tmp_path: Path) -> None:
        data, score, least = ARCHIVED[name]
        predictor = open_predictor(Path(name), "cpu")
        split = predictor.recipe.split(predictor.recipe.layout(archive(data)))
        cases = (split.test or split.validation)[1::7][:5]
        count, problems = predict(predictor, [case.image for case in cases], tmp_path / "out")
        assert (count, problems) == (len(cases), [])
        scores = []
        for case in cases:
            raw_image = reading.read_image(case)
            found = predictor.predict(raw_image)
            truth = reading.read_labels(case, raw_image.pixels.shape[:2])
            if score == "ap":
                assert found.labels is not None
                scores.append(instance_scores(found.labels, truth)["ap"])
            else:
                scores.append(getattr(overlap, score)(overlap.confusion(found.mask, truth > 0)))
        assert np.mean(scores) > least, scores


@pytest.mark.parametrize("name", JUDGING)
class TestEachThatJudgesItself:
    @pytest.mark.parametrize("image", FOREIGN)
    def test_what_is_of_another_kind_is_flagged(self, name: str, image: str) -> None:
        quality = open_predictor(Path(name), "cpu").predict(RawImage(FOREIGN[image](256))).quality
        assert quality is not None and quality.flagged and quality.score < 0.6

    @pytest.mark.data
    def test_what_is_segmented_well_is_not_flagged(self, name: str, archive) -> None:
        predictor = open_predictor(Path(name), "cpu")
        assert predictor.quality is not None
        split = predictor.recipe.split(predictor.recipe.layout(archive(ARCHIVED[name][0])))
        flags, scores = [], []
        for case in (split.test or split.validation)[:8]:
            raw_image = reading.read_image(case)
            found = predictor.predict(raw_image)
            assert found.quality is not None
            dice = overlap.dice(overlap.confusion(found.mask, reading.read_mask(case, raw_image.pixels.shape[:2])))
            if dice > predictor.quality.least:
                flags.append(found.quality.flagged)
                scores.append(found.quality.score - dice)
        assert len(flags) >= 6 and sum(flags) <= 1
        assert np.mean(np.abs(scores)) < 0.05


def test_a_run_with_folds_is_not_shipped(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(json.dumps({"recipe": {}, "folds": 5}))
    with pytest.raises(BiosegError, match="5 folds"):
        models.package(tmp_path, "x", "", root=tmp_path / "root")


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(BiosegError, match="ct-lungs"):
        open_predictor(Path("ct-lung"), "cpu")
