"""What every shipped model promises: it opens by name, offline; its weights are the ones of its record; its card is whole."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bioseg import recipes
from bioseg.data import cases as reading
from bioseg.data.pixels import Stored
from bioseg.evaluation import overlap
from bioseg.evaluation.instances import instance_scores
from bioseg.inference import shipped
from bioseg.inference.predictor import QUALITY, Predictor
from bioseg.recipe import fingerprint
from bioseg.types import BiosegError
from bioseg.workflows import models
from bioseg.workflows.predict import predict

from ..foreign_pictures import FOREIGN

NAMES = shipped.names()
ARCHIVED = {
    "ct-lungs": ("finding-lungs", "iou", 0.97),
    "nuclei": ("stage1_train", "ap", 0.5),
    "cardiac-lv": ("sunnybrook-png", "dice", 0.9),
    "cxr-lungs": ("montgomery", "dice", 0.97),
    "cxr-lungs-all": ("montgomery", "dice", 0.97),
}
"""Archive, score and what the mean over a few pictures that the model has not learned from must reach."""
JUDGING = [name for name in NAMES if (shipped.find(name) / QUALITY).exists()]
"""Those that say how far to trust them."""


def test_the_models_of_our_own_recipes_are_there() -> None:
    assert set(NAMES) == set(ARCHIVED)


@pytest.mark.parametrize("name", NAMES)
class TestEach:
    def test_it_is_small_and_the_recipe_of_today(self, name: str) -> None:
        folder = shipped.find(name)
        assert (folder / "best.safetensors").stat().st_size < 12_000_000
        record = json.loads((folder / "record.json").read_text())
        assert record["fingerprint"] == fingerprint(recipes.get(name))
        assert record["name"] == name
        assert "parts" not in record and "command" not in record

    def test_its_card_says_what_a_user_must_know(self, name: str) -> None:
        card = (shipped.find(name) / "card.md").read_text()
        for word in ("not a medical device", "Learned from", "Split", "95 % interval", "Limits", "Training"):
            assert word in card, word
        assert "terms" in card or "CC0" in card

    def test_its_summary_is_what_the_list_says(self, name: str) -> None:
        row = next(row for row in models.describe_models() if row["name"] == name)
        summary = json.loads((shipped.find(name) / "summary.json").read_text())
        assert row["dice"] == summary["dice"]["mean"] > 0.85
        assert f"{row['dice']:.3f}".lstrip("0") in (shipped.find(name) / "card.md").read_text()

    def test_other_weights_are_refused(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        shutil.copytree(shipped.find(name), tmp_path / name)
        monkeypatch.setattr(shipped, "ROOT", tmp_path)
        Predictor.open(Path(name), "cpu")
        weights = tmp_path / name / "best.safetensors"
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(bytes(data))
        with pytest.raises(BiosegError, match="SHA-256"):
            Predictor.open(Path(name), "cpu")
        weights.unlink()
        with pytest.raises(BiosegError, match="missing"):
            Predictor.open(Path(name), "cpu")

    @pytest.mark.data
    def test_it_holds_on_real_files_in_their_original_form(self, name: str, archive, tmp_path: Path) -> None:
        data, score, least = ARCHIVED[name]
        predictor = Predictor.open(Path(name), "cpu")
        split = predictor.recipe.split(predictor.recipe.list_cases(archive(data)))
        cases = (split.test or split.validation)[1::7][:5]
        count, problems = predict(predictor, [case.picture for case in cases], tmp_path / "out")
        assert (count, problems) == (len(cases), [])
        scores = []
        for case in cases:
            stored = reading.read_picture(case)
            found = predictor.predict(stored)
            truth = reading.read_labels(case, stored.pixels.shape[:2])
            if score == "ap":
                assert found.labels is not None
                scores.append(instance_scores(found.labels, truth)["ap"])
            else:
                scores.append(getattr(overlap, score)(overlap.confusion(found.mask, truth > 0)))
        assert np.mean(scores) > least, scores


@pytest.mark.parametrize("name", JUDGING)
class TestEachThatJudgesItself:
    @pytest.mark.parametrize("picture", FOREIGN)
    def test_what_is_of_another_kind_is_flagged(self, name: str, picture: str) -> None:
        quality = Predictor.open(Path(name), "cpu").predict(Stored(FOREIGN[picture](256))).quality
        assert quality is not None and quality.flagged and quality.score < 0.6

    @pytest.mark.data
    def test_what_is_outlined_well_is_not_flagged(self, name: str, archive) -> None:
        predictor = Predictor.open(Path(name), "cpu")
        assert predictor.quality is not None
        split = predictor.recipe.split(predictor.recipe.list_cases(archive(ARCHIVED[name][0])))
        flags, scores = [], []
        for case in (split.test or split.validation)[:8]:
            stored = reading.read_picture(case)
            found = predictor.predict(stored)
            assert found.quality is not None
            dice = overlap.dice(overlap.confusion(found.mask, reading.read_mask(case, stored.pixels.shape[:2])))
            if dice > predictor.quality.least:
                flags.append(found.quality.flagged)
                scores.append(found.quality.score - dice)
        assert len(flags) >= 6 and sum(flags) <= 1
        assert np.mean(np.abs(scores)) < 0.05


def test_a_run_with_folds_is_not_shipped(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(json.dumps({"recipe": {}, "folds": 5}))
    with pytest.raises(BiosegError, match="5 folds"):
        models.ship(tmp_path, "x", "", root=tmp_path / "root")


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(BiosegError, match="ct-lungs"):
        Predictor.open(Path("ct-lung"), "cpu")
