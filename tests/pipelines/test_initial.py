"""Training starts from a model: its weights, its recipe where none is given, and the images it has seen."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import bioseg
from bioseg.datasets import phantom_layouts
from bioseg.datasets.folders import read_dataset
from bioseg.datasets.identity import content_hashes
from bioseg.pipelines import assemble as assembling
from bioseg.pipelines import scoring
from bioseg.pipelines import train as training
from bioseg.pipelines.assemble import TrainResult
from bioseg.pipelines.evaluate import seen_cases
from bioseg.pipelines.fit_fold import FoldJob
from bioseg.pipelines.initial import open_initial, recipe_to_go_on_with
from bioseg.pipelines.models import package
from bioseg.pipelines.train import TrainJob, train
from bioseg.recipe import SegmentationRecipe
from bioseg.recipes import auto
from bioseg.reports.run_folder import read_run
from bioseg.reports.sentences import bias
from bioseg.training import fine_tuning
from bioseg.types import BiosegError, Callbacks
from tests.pipelines.models import small_recipe, write_run


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "_draw", lambda *arguments: None)
    monkeypatch.setattr(assembling, "_draw", lambda *arguments: None)
    monkeypatch.setattr(assembling, "write_report", lambda folders: folders[0])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    phantom_layouts.write_images_masks(tmp_path / "data", count=6, size_px=32)
    return tmp_path / "data"


def base(data: Path, folder: Path, *, seen: int = 2, **more: object) -> Path:
    """A run of random weights, trained on the first ``seen`` of the images and chosen by the next."""
    cases = read_dataset(data, small_recipe().layout).cases
    parts = {"train": [case.id for case in cases[:seen]], "validation": [case.id for case in cases[seen : seen + 1]]}
    return write_run(folder, parts=parts, images=content_hashes(cases), **more)


def run(data: Path, out: Path, init: Path, recipe: SegmentationRecipe | None = None, **more: Any) -> TrainResult:
    start = open_initial(init, folds=more.get("folds", 0))
    how = recipe or recipe_to_go_on_with(start, out, resume=False)
    settings = more.pop("settings", ("training.epochs=1",))
    return train(TrainJob(how, data, out, device="cpu", init=start, settings=settings, **more.pop("job", {}), **more))


def record_of(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "record.json").read_text())
    return content


def test_images_of_the_model_count_as_trained_on(data: Path, tmp_path: Path) -> None:
    first = base(data, tmp_path / "first", seen=3)
    other = tmp_path / "other"
    phantom_layouts.write_images_masks(other, count=3, seed=9, size_px=32)
    run(other, tmp_path / "second", first)
    record = record_of(tmp_path / "second")
    assert record["init"] == {
        "model": "first", "fingerprint": record_of(first)["fingerprint"], "part": "all", "images": "known",
        "weights": record["init"]["weights"],
    }  # fmt: skip
    seen = seen_cases(tmp_path / "second", read_dataset(data, small_recipe().layout))
    assert seen is not None and sorted(seen.values()) == ["train", "train", "train", "validation"]
    assert len(seen_cases(tmp_path / "second", read_dataset(other, small_recipe().layout)) or ()) == 3
    package(tmp_path / "second", "third", "# card\n", root=tmp_path / "models")
    assert len(record_of(tmp_path / "models" / "third")["image_hashes"]) == 4 + 3


@pytest.mark.slow
def test_held_out_images_that_the_model_knows_are_told_beside_the_scores(data: Path, tmp_path: Path) -> None:
    said = list[str]()
    start = open_initial(base(data, tmp_path / "base", seen=5))
    how = recipe_to_go_on_with(start, tmp_path / "own", resume=False)
    job = TrainJob(how, data, tmp_path / "own", settings=("training.epochs=1",), device="cpu", init=start)
    result = train(job, Callbacks(log=said.append))
    assert sum(result.summary["seen"].values()) == 1
    assert any("1 of 1 validation images trained or chose base" in line for line in said)
    assert "1 of them trained or chose base, which it started from" in bias(read_run(tmp_path / "own"))


@pytest.mark.slow
def test_weights_alone_leave_it_unknown_what_was_seen(data: Path, tmp_path: Path) -> None:
    weights = base(data, tmp_path / "base") / "best.safetensors"
    result = run(data, tmp_path / "own", weights, small_recipe("split.test=0", "split.validation=0.2"))
    assert result.summary["seen"] is None and record_of(tmp_path / "own")["init"]["images"] == "unknown"
    assert seen_cases(tmp_path / "own", read_dataset(data, small_recipe().layout)) is None
    run(data, tmp_path / "again", tmp_path / "own")  # and it is passed on
    assert record_of(tmp_path / "again")["init"]["images"] == "unknown"


def test_without_a_recipe_it_is_the_models_own_made_short(data: Path, tmp_path: Path) -> None:
    how = recipe_to_go_on_with(open_initial(base(data, tmp_path / "base")), tmp_path / "own", resume=False)
    own, reasons = training.configured(how, [], (), open_initial(tmp_path / "base"))
    assert own.preparation == small_recipe().preparation and own.network == small_recipe().network
    assert own.training.learning_rate == pytest.approx(small_recipe().training.learning_rate / 3)
    assert own.configure is None and own.choose is None and len(reasons) >= 3


def test_auto_takes_preparation_and_network_from_the_model(data: Path, tmp_path: Path) -> None:
    cases = read_dataset(data, auto.RECIPE.layout).cases
    initial = open_initial("nuclei")
    own, _ = training.configured(auto.RECIPE, cases, (), initial)
    assert initial.recipe and own.network.arguments == (("encoder", "lite0"), ("imagenet", True))
    assert own.preparation == replace(initial.recipe.preparation, targets=("foreground",))
    assert own.postprocess.instances is None and own.augmentation.rotation_deg == 15.0
    again, _ = fine_tuning.adapted(own, own, 6, tuned=True)
    assert again.training.learning_rate == own.training.learning_rate, "a third of a third would be too low"


def test_each_fold_starts_from_its_own_or_from_the_only_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = list[FoldJob]()
    monkeypatch.setattr(training, "fit_fold", lambda job, callbacks, samples: jobs.append(job))
    monkeypatch.setattr(training, "assemble", lambda *arguments, **named: None)
    whole = base(data, tmp_path / "folds")
    record = record_of(whole)
    (whole / "record.json").write_text(json.dumps({**record, "folds": 2, "parts": {}}))
    for fold, seen in enumerate((1, 3)):
        base(data, whole / f"fold-{fold}", seen=seen)
    for number, init in enumerate((whole, whole / "fold-1")):
        run(data, tmp_path / f"own-{number}", init, folds=2)
    paths = [one.init and one.init.path.parent.name for one in jobs]
    assert paths == ["fold-0", "fold-1", "fold-1", "fold-1"]
    assert [len(one.record["image_hashes"]) for one in jobs] == [2, 4, 4, 4]
    assert len(record_of(tmp_path / "own-0")["image_hashes"]) == 4
    for folds in (0, 3):
        with pytest.raises(BiosegError, match=r"has 2 folds, this training .*give --folds 2, or one of its folds"):
            open_initial(whole, folds=folds)


def test_a_run_is_resumed_with_the_model_it_started_from(data: Path, tmp_path: Path) -> None:
    first, other = base(data, tmp_path / "first"), base(data, tmp_path / "other")
    run(data, tmp_path / "own", first)
    before = (tmp_path / "own" / "record.json").read_bytes()
    weights = load_file(other / "best.safetensors")
    save_file({name: one + 1 for name, one in weights.items()}, other / "best.safetensors")
    with pytest.raises(BiosegError, match=r"was made with init .*first.*this is .*other"):
        run(data, tmp_path / "own", other, resume=True)
    bioseg.train(None, data, tmp_path / "own", resume=True, device="cpu")  # the model is not needed any more
    assert (tmp_path / "own" / "record.json").read_bytes() == before
    for name in ("last", "last.before", "journal.jsonl"):
        path = tmp_path / "own" / name
        if path.exists():
            path.rename(tmp_path / name)
    with pytest.raises(BiosegError, match=r"no epoch is finished; give --init first again"):
        bioseg.train(None, data, tmp_path / "own", resume=True, device="cpu")


def test_what_cannot_be_started_from_says_how(data: Path, tmp_path: Path) -> None:
    (tmp_path / "model.bioseg").write_bytes(b"PK")
    with pytest.raises(BiosegError, match=r"exported model holds no weights that can be trained; give the run folder"):
        open_initial(tmp_path / "model.bioseg")
    with pytest.raises(BiosegError, match="--init-part head: choose all, encoder"):
        open_initial("nuclei", "head")
    with pytest.raises(BiosegError, match=r"gone\.safetensors: not there"):
        open_initial("gone.safetensors")
    with pytest.raises(BiosegError, match=r"no recipe: give a name .* or --init"):
        bioseg.train(None, data, tmp_path / "own")
    with pytest.raises(BiosegError, match=r"nothing in cxr-lungs, pretrained_unet\(.*\) matches nuclei_unet"):
        bioseg.train(small_recipe("split.test=0", "split.validation=0.2"), data, tmp_path / "own", init="cxr-lungs")


def test_the_encoder_of_a_pretrained_model_is_what_is_loaded(data: Path, tmp_path: Path) -> None:
    settings = ("training.epochs=1", "training.freeze_epochs=1", "preparation.size_px=[32,32]")
    bioseg.train("auto", data, tmp_path / "own", init="ct-lungs", init_part="encoder", settings=settings, device="cpu")
    own, theirs = (
        load_file(place / "best.safetensors")
        for place in (tmp_path / "own", open_initial("ct-lungs").starts[0].path.parent)
    )
    for name in theirs:
        same = torch.equal(own[name], theirs[name].to(own[name].dtype))
        assert same == name.startswith("encoder."), name
