"""What every recipe promises: it trains, opens and predicts, on a phantom of its own layout, and on any other."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bioseg import recipes
from bioseg.datasets import cases as reading
from bioseg.datasets import phantom_layouts
from bioseg.datasets.folders import list_cases
from bioseg.datasets.splits import Split, from_csv
from bioseg.pipelines.open import open_predictor
from bioseg.pipelines.train import TrainJob, train
from bioseg.recipe import SegmentationRecipe
from bioseg.record import decode, encode, fingerprint, read_record
from bioseg.specs import Call, call
from bioseg.training import losses
from bioseg.training.schedules import TrainState
from bioseg.types import BiosegError, Callbacks, Case

PHANTOMS = {
    "auto": phantom_layouts.write_images_masks,
    "cardiac-lv": phantom_layouts.write_sunnybrook,
    "cardiac-myocardium": phantom_layouts.write_sunnybrook,
    "chest-organs": phantom_layouts.write_organs,
    "cxr-lungs": phantom_layouts.write_montgomery,
    "cxr-lungs-all": phantom_layouts.write_chest_xrays,
    "cardiac-lv-reference": phantom_layouts.write_cardiac_lv,
    "ct-lungs": phantom_layouts.write_ct_lungs,
    "ct-lungs-reference": phantom_layouts.write_ct_lungs,
    "cxr-enhanced-clahe-reference": phantom_layouts.write_montgomery,
    "cxr-enhanced-reference": phantom_layouts.write_montgomery,
    "cxr-unet-reference": phantom_layouts.write_montgomery,
    "nuclei": phantom_layouts.write_nuclei,
    "nuclei-reference": phantom_layouts.write_nuclei,
    "pneumonia": phantom_layouts.write_rsna,
    "pneumonia-reference": phantom_layouts.write_rsna,
}
MORE = {
    "cxr-enhanced-clahe-reference": ("split.validation=0.2", "network.encoder=lite0"),
    "cxr-enhanced-reference": ("split.validation=0.2", "network.encoder=lite0"),
    "cxr-unet-reference": ("split.validation=0.2",),
}


def get(name: str) -> SegmentationRecipe:
    recipe = recipes.get(name)
    assert isinstance(recipe, SegmentationRecipe)
    return recipe


SMALL = (
    "preparation.size_px=[32,32]",
    "training.epochs=1",
    "training.batch_size=4",
    "training.validation_batch_size=4",
)


def test_every_recipe_has_a_phantom() -> None:
    segmenters = {name for name in recipes.names() if isinstance(recipes.get(name), SegmentationRecipe)}
    assert set(PHANTOMS) == segmenters


SLOW = {
    "cardiac-myocardium",
    "chest-organs",
    "cxr-enhanced-clahe-reference",
    "cxr-lungs-all",
    "pneumonia-reference",
    "cardiac-lv-reference",
}
"""Like others but for what their pages say; trained among the slow tests."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in PHANTOMS]
)
def test_it_trains_is_opened_and_predicts(name: str, tmp_path: Path) -> None:
    PHANTOMS[name](tmp_path / "data", count=12, seed=0, size_px=48)
    calls: list[tuple[str, int, int, str]] = []
    job = TrainJob(get(name), tmp_path / "data", tmp_path / "run", settings=(*SMALL, *MORE.get(name, ())))
    result = train(job, Callbacks(progress=lambda *call: calls.append(call)))
    assert result.problems == []
    assert 0 <= result.summary["accuracy"]["mean"] <= 1
    assert {work for work, *_ in calls} >= {"reading", "training", "evaluating"}
    assert all(done <= total for _, done, total, _ in calls)

    record = json.loads((tmp_path / "run" / "record.json").read_text())
    predictor = open_predictor(tmp_path / "run", "cpu")
    as_trained = replace(predictor.recipe, postprocess=decode(record["recipe"]["postprocess"], "record"))
    assert json.loads(json.dumps(encode(as_trained))) == record["recipe"]
    assert fingerprint(as_trained) == record["fingerprint"]
    case = get(name).layout(tmp_path / "data")[0]
    raw_image = reading.read_image(case)
    first, again = predictor.predict(raw_image), predictor.predict(raw_image)
    assert first.mask.shape == first.probability.shape == raw_image.pixels.shape[:2]
    assert np.array_equal(first.probability, again.probability)
    assert 0 <= first.probability.min() <= first.probability.max() <= 1


@pytest.mark.parametrize("name", PHANTOMS)
def test_it_spells_out_what_it_is(name: str) -> None:
    recipe = get(name)
    assert recipe.name == name
    assert recipe.task
    assert recipe.purpose
    for part in (
        recipe.layout,
        recipe.split,
        recipe.fold,
        recipe.network,
        recipe.training.loss,
        recipe.training.optimiser,
    ):
        assert isinstance(part, Call)


def test_the_nuclei_reference_is_the_page() -> None:
    recipe = get("nuclei-reference")
    how = recipe.training
    assert (recipe.preparation.size_px, recipe.preparation.channels) == ((128, 128), 3)
    assert (how.batch_size, how.epochs, how.patience, how.learning_rate) == (16, 40, 2, 1e-3)
    assert how.loss.function.__name__ == "binary_cross_entropy"
    assert recipe.postprocess.threshold == 0.5
    assert sum(parameter.numel() for parameter in recipe.network().parameters()) == 1_941_105


def test_auto_configures_itself_from_the_data(tmp_path: Path) -> None:
    auto = get("auto")
    assert auto.configure is not None
    seen = {}
    for name, write in (
        ("chest", phantom_layouts.write_images_masks),
        ("cells", phantom_layouts.write_nuclei),
        ("ct", phantom_layouts.write_ct_lungs),
    ):
        write(tmp_path / name, count=12, seed=0, size_px=96)
        seen[name], reasons = auto.configure(auto, auto.layout(tmp_path / name))
        assert seen[name].configure is None
        assert len(reasons) >= 6
    assert (seen["chest"].preparation.channels, seen["cells"].preparation.channels) == (1, 3)
    assert seen["ct"].preparation.intensity[0].arguments == (("low", -1000.0), ("high", 400.0))
    assert seen["cells"].augmentation.quarter_turns
    assert not seen["chest"].augmentation.quarter_turns
    assert seen["chest"].postprocess.keep_largest == 2
    assert seen["cells"].postprocess.keep_largest == 0
    assert {recipe.preparation.size_px for recipe in seen.values()} == {(96, 96)}


def test_the_chest_references_are_the_page(tmp_path: Path) -> None:
    """110 / 28 with seed 999, five shuffled folds of 88 / 22; and no single split, which the study does not have."""
    base, strong = recipes.get("cxr-unet-reference"), recipes.get("cxr-enhanced-reference")
    assert isinstance(base, SegmentationRecipe) and isinstance(strong, SegmentationRecipe)
    cases = [Case(f"MCUCXR_{n:04}_0", f"{n:04}", tmp_path) for n in range(138)]
    whole = base.split(cases)
    assert (len(whole.train), len(whole.validation), len(whole.test)) == (110, 0, 28)
    folds = base.fold(list(whole.train), folds=5)
    assert [(len(fold.train), len(fold.validation)) for fold in folds] == [(88, 22)] * 5
    assert (base.training.batch_size, base.training.validation_batch_size, base.training.epochs) == (16, 4, 80)
    assert (strong.training.batch_size, strong.training.epochs, strong.training.learning_rate) == (8, 250, 1e-4)
    assert strong.split == base.split and strong.augmentation == base.augmentation
    phantom_layouts.write_montgomery(tmp_path / "data", count=8, seed=0, size_px=64)
    with pytest.raises(BiosegError, match="--folds 5"):
        train(TrainJob(base, tmp_path / "data", tmp_path / "run"))


def test_the_other_references_are_their_pages() -> None:
    ct, lv, boxes = (recipes.get(f"{name}-reference") for name in ("ct-lungs", "cardiac-lv", "pneumonia"))
    assert isinstance(ct, SegmentationRecipe) and isinstance(lv, SegmentationRecipe)
    assert isinstance(boxes, SegmentationRecipe)
    assert (ct.preparation.size_px, ct.postprocess.threshold, ct.training.seed) == ((128, 128), 0.1, 220)
    assert [round(ct.training.schedule(TrainState(epoch, 40)), 6) for epoch in (0, 19, 20, 21, 22)] == [
        1,
        1,
        1,
        0.1,
        0.01,
    ]
    assert (lv.preparation.crop_px, lv.training.batch_size, lv.training.learning_rate, lv.training.epochs) == (
        (128, 128),
        4,
        5e-4,
        100,
    )
    assert lv.training.loss == call(losses.soft_dice, smoothing=1e-5)
    assert (boxes.training.batch_size, boxes.training.epochs, boxes.augmentation.flip_cols) == (32, 10, 0.5)
    counts = [sum(p.numel() for p in recipe.network().parameters()) for recipe in (ct, lv)]
    assert counts == [902_593, 7_759_521]
    patients = [Case(str(n), str(n), Path("x"), boxes=()) for n in range(26_684)]
    split = boxes.split(patients)
    assert (len(split.train), len(split.validation)) == (24_124, 2_560)


def table(path: Path, parts: dict[str, str]) -> Call[Split]:
    path.write_text("id,part\n" + "".join(f"{name},{part}\n" for name, part in parts.items()))
    return call(from_csv, path=str(path))


@pytest.mark.parametrize(
    "name", ["cxr-lungs", *(pytest.param(name, marks=pytest.mark.slow) for name in ("nuclei-reference", "auto"))]
)
def test_a_recipe_is_the_method_and_takes_any_folder_and_split(name: str, tmp_path: Path) -> None:
    """Layout and split are arguments of the run; the recipe's are its defaults."""
    phantom_layouts.write_images_masks(tmp_path / "data", count=9, seed=0, size_px=32)
    ids = [case.id for case in list_cases(tmp_path / "data")]
    parts = dict(zip(ids, ["test", "validation", "train"] * 3, strict=True))
    small = ("preparation.size_px=[32,32]", "training.epochs=1", "training.batch_size=3", "quality=null")
    job = TrainJob(
        get(name),
        tmp_path / "data",
        tmp_path / "run",
        split=table(tmp_path / "split.csv", parts),
        settings=small,
        device="cpu",
    )
    result = train(job)
    record = read_record(tmp_path / "run")
    assert record["parts"] == {part: ids[start::3] for start, part in enumerate(("test", "validation", "train"))}
    assert result.summary["cases"] == 3 and result.test is not None and result.test["cases"] == 3
    # By its own split, of a folder that is in none of its layouts.
    plain = train(replace(job, split=None, out=tmp_path / "plain", settings=small))
    assert plain.summary["cases"] >= 1
    # The method is the same.
    if name != "auto":
        assert read_record(tmp_path / "plain")["recipe"]["network"] == record["recipe"]["network"]
