"""What every pretrained model promises: it opens by name, offline; its weights are the ones of its record; its card is whole."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bioseg import recipes
from bioseg.datasets import cases as reading
from bioseg.datasets import phantom_layouts
from bioseg.datasets.folders import list_cases, scan
from bioseg.evaluation import overlap
from bioseg.evaluation.instances import instance_scores
from bioseg.images.formats import RawImage
from bioseg.inference import pretrained
from bioseg.pipelines import evaluate, models
from bioseg.pipelines.open import open_predictor
from bioseg.pipelines.predict import predict
from bioseg.pipelines.train import TrainJob, train
from bioseg.recipe import SegmentationRecipe
from bioseg.record import QUALITY, fingerprint, read_record
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
"""Archive, score and what its mean over a few images of the test set must reach."""
RATED = [name for name in NAMES if (pretrained.find(name) / QUALITY).exists()]
"""Those that estimate the quality of a prediction."""


def test_the_models_of_our_own_recipes_are_there() -> None:
    assert set(NAMES) == set(ARCHIVED)


LARGE = ("nuclei", "ct-lungs")
"""Models whose archives take seconds to unpack: their real files are for the slow tests."""


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

    def test_it_knows_the_images_it_was_trained_on_and_no_ids(self, name: str) -> None:
        record = json.loads((pretrained.find(name) / "record.json").read_text())
        assert {"train", "validation"} == set(record["image_hashes"].values())
        assert all(len(key) == 16 and int(key, 16) >= 0 for key in record["image_hashes"])
        assert not {"parts", "images", "command", "git_commit", "code"} & set(record)

    def test_other_weights_are_refused(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        shutil.copytree(pretrained.find(name), tmp_path / name)
        monkeypatch.setattr(pretrained, "ROOT", tmp_path)
        open_predictor(name, "cpu")
        weights = tmp_path / name / "best.safetensors"
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(bytes(data))
        with pytest.raises(BiosegError, match="SHA-256"):
            open_predictor(name, "cpu")
        weights.unlink()
        with pytest.raises(BiosegError, match="missing"):
            open_predictor(name, "cpu")


@pytest.mark.data
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in LARGE else []) for name in NAMES]
)
def test_it_holds_on_real_files_in_their_original_form(name: str, archive, tmp_path: Path) -> None:
    data, score, least = ARCHIVED[name]
    predictor = open_predictor(name, "cpu")
    split = predictor.recipe.split(predictor.recipe.layout(archive(data)))
    cases = (split.test or split.validation)[1::7][: 3 if name == "nuclei" else 5]
    count, problems = predict(predictor, cases, tmp_path / "out")
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


@pytest.mark.parametrize("name", RATED)
class TestEachThatEstimatesItsQuality:
    @pytest.mark.parametrize("image", FOREIGN)
    def test_what_is_of_another_kind_is_flagged(self, name: str, image: str) -> None:
        quality = open_predictor(name, "cpu").predict(RawImage(FOREIGN[image](256))).quality
        assert quality is not None and quality.flagged and quality.score < 0.6

    @pytest.mark.data
    def test_what_is_segmented_well_is_not_flagged(self, name: str, archive) -> None:
        predictor = open_predictor(name, "cpu")
        assert predictor.quality is not None
        split = predictor.recipe.split(predictor.recipe.layout(archive(ARCHIVED[name][0])))
        flags, scores = [], []
        for case in (split.test or split.validation)[:8]:
            raw_image = reading.read_image(case)
            found = predictor.predict(raw_image)
            assert found.quality is not None
            dice = overlap.dice(overlap.confusion(found.mask, reading.read_mask(case, raw_image.pixels.shape[:2])))
            if dice > predictor.quality.flag_below:
                flags.append(found.quality.flagged)
                scores.append(found.quality.score - dice)
        assert len(flags) >= 6 and sum(flags) <= 1
        assert np.mean(np.abs(scores)) < 0.05


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with phantoms in ``data`` and a tiny run in ``run``."""
    root = tmp_path_factory.mktemp("package")
    phantom_layouts.write_images_masks(root / "data", count=6, seed=0, size_px=32)
    recipe = recipes.get("nuclei-reference")
    assert isinstance(recipe, SegmentationRecipe)
    settings = (
        "preparation.size_px=[32,32]",
        "training.epochs=1",
        'choose={"$call":"bioseg.postprocess.choose:threshold"}',
    )
    train(TrainJob(recipe, root / "data", root / "run", settings=settings, device="cpu", command=f"bioseg {root}"))
    return root


def test_a_run_becomes_a_model_that_opens_by_name(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = models.package(run / "run", "phantoms", "# A card", root=tmp_path)
    monkeypatch.setattr(pretrained, "ROOT", tmp_path)
    assert [row["name"] for row in models.describe_models()] == ["phantoms"]
    image = list_cases(run / "data")[0].path
    packaged, trained = (open_predictor(model, "cpu").predict(image) for model in ("phantoms", run / "run"))
    assert np.abs(packaged.probability - trained.probability).max() < 0.01
    text = (folder / "record.json").read_text()
    record = json.loads(text)
    assert str(run) not in text and not {"parts", "images", "command", "git_commit"} & set(record)
    assert not any(f'"{case.id}"' in text for case in list_cases(run / "data"))
    known = read_record(run / "run")
    expected = {known["images"][name]: part for part in ("train", "validation") for name in known["parts"][part]}
    assert record["image_hashes"] == expected and len(expected) == 4
    seen = evaluate.seen_cases(folder, scan(run / "data"))
    assert seen == {name: part for part in ("train", "validation") for name in known["parts"][part]}
    shown = json.loads((folder / "postprocess.json").read_text())
    assert shown["$type"] == "bioseg.postprocess.masks:Postprocess"


def test_a_run_with_folds_is_not_packaged(run: Path, tmp_path: Path) -> None:
    folds = Path(shutil.copytree(run / "run", tmp_path / "run"))
    record = json.loads((folds / "record.json").read_text())
    (folds / "record.json").write_text(json.dumps(record | {"folds": 5}))
    with pytest.raises(BiosegError, match="5 folds"):
        models.package(folds, "x", "", root=tmp_path / "root")
    (folds / "record.json").write_text(json.dumps(record | {"code": {"user_x": {"sha256": "0"}}}))
    with pytest.raises(BiosegError, match="user_x"):
        models.package(folds, "x", "", root=tmp_path / "root")
    assert not (tmp_path / "root").exists()


class TestNamesAndPaths:
    @pytest.fixture(autouse=True)
    def here(self, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A working directory with a run in ``nuclei/``, as the pretrained model is called."""
        shutil.copytree(run / "run", tmp_path / "nuclei")
        monkeypatch.chdir(tmp_path)

    def test_a_name_that_is_a_folder_too_is_an_error(self) -> None:
        with pytest.raises(BiosegError, match=r"pretrained:nuclei or \./nuclei"):
            pretrained.find("nuclei")
        with pytest.raises(BiosegError, match="pretrained:nuclei"):
            open_predictor("nuclei", "cpu")

    def test_either_can_be_said(self, tmp_path: Path) -> None:
        assert pretrained.find("pretrained:nuclei") == pretrained.ROOT / "nuclei"
        for local in ("./nuclei", "nuclei/", Path("nuclei"), tmp_path / "nuclei", str(tmp_path / "nuclei")):
            assert pretrained.find(local).resolve() == (tmp_path / "nuclei").resolve()
        assert open_predictor("./nuclei", "cpu").recipe.name == "nuclei-reference"
        assert open_predictor("pretrained:nuclei", "cpu").recipe.name == "nuclei"

    def test_a_file_of_that_name_does_not_count(self, tmp_path: Path) -> None:
        (tmp_path / "ct-lungs").touch()
        assert pretrained.find("ct-lungs") == pretrained.ROOT / "ct-lungs"

    def test_what_is_neither_is_refused(self) -> None:
        for wrong in ("pretrained:nuclie", "./ct-lungs/no", "no-such", Path("no-such"), ""):
            with pytest.raises(BiosegError) as caught:
                open_predictor(wrong, "cpu")
            assert "\n" not in str(caught.value)


def test_the_list_gives_paths_that_open_and_ap_where_there_are_objects() -> None:
    rows = {row["name"]: row for row in models.describe_models()}
    assert all(Path(row["card"]).is_absolute() and Path(row["card"]).is_file() for row in rows.values())
    assert {name for name, row in rows.items() if "ap" in row} == {"nuclei"}
    assert 0.5 < rows["nuclei"]["ap"] < rows["nuclei"]["dice"] < 1


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(BiosegError, match="ct-lungs"):
        open_predictor("ct-lung", "cpu")
