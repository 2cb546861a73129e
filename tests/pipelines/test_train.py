"""Fold jobs travel; a resumed run is the same run, also when an image is gone since; nothing is lost with it."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bioseg.datasets import phantom_layouts
from bioseg.datasets.folders import FolderScan, read_dataset
from bioseg.pipelines import assemble as assembling
from bioseg.pipelines import scoring
from bioseg.pipelines import train as training
from bioseg.pipelines.assemble import TrainResult, assemble
from bioseg.pipelines.fit_fold import FoldJob, fit_fold
from bioseg.pipelines.train import TrainJob, train
from bioseg.recipe import SegmentationRecipe
from bioseg.types import BiosegError, Callbacks
from tests.pipelines.models import small_recipe

COUNT = 30


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "_draw", lambda *arguments: None)
    monkeypatch.setattr(assembling, "_draw", lambda *arguments: None)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    phantom_layouts.write_nuclei(tmp_path / "data", count=COUNT, seed=0, size_px=32)
    return tmp_path / "data"


@pytest.fixture
def chest(tmp_path: Path) -> Path:
    phantom_layouts.write_images_masks(tmp_path / "chest", count=12, size_px=64)
    return tmp_path / "chest"


def run(data: Path, out: Path, *settings: str, **more: Any) -> TrainResult:
    return train(TrainJob(small_recipe(*settings), data, out, device="cpu", **more))


def jobs_of(data: Path, out: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> list[FoldJob]:
    """The jobs of a training that is not carried out."""
    jobs = list[FoldJob]()
    with monkeypatch.context() as patch:
        patch.setattr(training, "fit_fold", lambda job, callbacks, samples: jobs.append(job))
        patch.setattr(training, "assemble", lambda *arguments, **named: TrainResult({}, None, out))
        run(data, out, **more)
    return jobs


def results(out: Path) -> dict[str, bytes]:
    """What must not depend on how a run came about; times of day and of prediction do."""
    names = ("best.safetensors", "last/network.safetensors", "scores.csv", "test/scores.csv", "postprocess.json")
    return {str(path.relative_to(out)): path.read_bytes() for name in names for path in out.rglob(name)}


@pytest.mark.parametrize("in_another_process", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_job_is_pickled_and_run_elsewhere(
    in_another_process: bool, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(data, tmp_path / "here", folds=2)
    out = tmp_path / "there"
    jobs = jobs_of(data, out, monkeypatch, folds=2)
    assert [pickle.loads(pickle.dumps(job)) for job in jobs] == jobs
    (tmp_path / "job.pickle").write_bytes(pickle.dumps(jobs[0]))
    code = (
        "import pickle, sys; from bioseg.pipelines.fit_fold import fit_fold; "
        "fit_fold(pickle.load(open(sys.argv[1], 'rb')))"
    )
    if in_another_process:
        subprocess.run([sys.executable, "-c", code, tmp_path / "job.pickle"], check=True, timeout=120)
    else:
        fit_fold(pickle.loads((tmp_path / "job.pickle").read_bytes()))
    fit_fold(jobs[1])
    assemble(out, read_dataset(data, small_recipe().layout).cases, device="cpu")
    assert results(out) == results(tmp_path / "here")


def test_fitting_again_continues_and_changes_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = jobs_of(data, tmp_path / "run", monkeypatch)[0]
    assert fit_fold(job) == tmp_path / "run"
    before = results(tmp_path / "run")
    with pytest.raises(BiosegError, match="--resume"):
        fit_fold(job)
    fit_fold(replace(job, resume=True))
    assert results(tmp_path / "run") == before


@pytest.mark.parametrize("folds", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_resuming_a_finished_run_gives_the_same_files(folds: int, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = run(data, out, folds=folds)
    before = results(out)
    record = (out / "record.json").read_bytes()
    again = run(data, out, folds=folds, resume=True)
    assert results(out) == before and (out / "record.json").read_bytes() == record
    assert again.summary["dice"] == first.summary["dice"] and again.problems == []
    assert not list(out.rglob(".lock"))


LOST = [(0, "validation", "damaged"), (0, "test", "gone"), (2, "validation", "damaged")]


@pytest.mark.parametrize(
    ("folds", "part", "damage"),
    [(0, "validation", "gone"), *(pytest.param(*one, marks=pytest.mark.slow) for one in LOST)],
)
def test_a_held_out_image_that_is_lost_costs_only_itself(
    folds: int, part: str, damage: str, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    first = run(data, out, folds=folds)
    parts = json.loads((out / ("fold-0/record.json" if folds else "record.json")).read_text())["parts"]
    if part == "test":
        parts = json.loads((out / "record.json").read_text())["parts"]
    lost = parts[part][0]
    image = next((data / lost / "images").iterdir())
    if damage == "gone":
        (data / lost).rename(tmp_path / "lost")
    else:
        image.write_bytes(b"\x89PNG no more")
    again = run(data, out, folds=folds, resume=True)
    assert [lost in one.reason for one in again.problems] == [True]
    counts = [(one.summary["cases"], one.test["cases"] if one.test else 0) for one in (first, again)]
    assert counts[1] == (counts[0][0] - (part == "validation"), counts[0][1] - (part == "test"))
    assert (out / "report.html").exists()


def test_a_test_set_that_is_lost_does_not_cost_the_run(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(data, out)
    for name in json.loads((out / "record.json").read_text())["parts"]["test"]:
        next((data / name / "images").iterdir()).write_bytes(b"")
    again = run(data, out, resume=True)
    assert again.test is None and again.summary["cases"] and len(again.problems) == 1
    assert "none of 2 cases could be evaluated" in again.problems[0].reason


def test_an_unreadable_validation_image_does_not_stop_the_choice_of_postprocessing(chest: Path, tmp_path: Path) -> None:
    recipe = small_recipe("split.parts=[0.5,0.4,0.1]", name="ct-lungs")
    assert recipe.choose is not None
    job = TrainJob(recipe, chest, tmp_path / "run", device="cpu")
    train(job)
    name = json.loads((tmp_path / "run" / "record.json").read_text())["parts"]["validation"][0]
    (chest / "images" / f"{name}.png").write_bytes(b"")
    (tmp_path / "run" / "postprocess.json").unlink()
    result = train(replace(job, resume=True))
    assert (tmp_path / "run" / "postprocess.json").exists()
    assert [name in one.reason for one in result.problems] == [True]


def test_other_data_is_not_resumed(data: Path, chest: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "run")
    with pytest.raises(BiosegError, match="are not there; give the data it was started with"):
        run(chest, tmp_path / "run", resume=True)
    with pytest.raises(BiosegError, match="was made with folds 0, this is 2"):
        run(data, tmp_path / "run", resume=True, folds=2)
    with pytest.raises(BiosegError, match="was made with fingerprint"):
        run(data, tmp_path / "run", "training.learning_rate=0.5", resume=True)


def test_a_self_configuring_recipe_takes_nothing_from_held_out_cases(data: Path, tmp_path: Path) -> None:
    seen = list[set[str]]()

    def configure(recipe: SegmentationRecipe, cases: list[Any]) -> tuple[SegmentationRecipe, list[str]]:
        seen.append({case.id for case in cases})
        post = replace(recipe.postprocess, keep_largest=len(seen))
        return replace(recipe, postprocess=post, configure=None), [f"looked at {len(cases)} cases"]

    configure.__module__, configure.__qualname__ = "bioseg.recipes.auto", "configure"  # a record can name that one
    recipe, said = replace(small_recipe(), configure=configure), list[str]()
    job = TrainJob(recipe, data, tmp_path / "run", folds=2, settings=("training.epochs=1",), device="cpu")
    train(job, Callbacks(log=said.append))
    assert len(seen) == 3 and any("looked at" in line for line in said)
    for fold in range(2):
        record = json.loads((tmp_path / "run" / f"fold-{fold}" / "record.json").read_text())
        assert seen[1 + fold] == set(record["parts"]["train"])
        assert not seen[1 + fold] & set(record["parts"]["validation"])
        assert record["recipe"]["postprocess"]["keep_largest"] == 2 + fold
    train(replace(job, resume=True))
    assert len(seen) == 3  # a resumed run keeps what was configured


def test_what_the_scan_warns_of_is_said(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, said = training.read_dataset, list[str]()

    def warned(*arguments: Any) -> FolderScan:
        return replace(real(*arguments), warnings=("patients are unknown",))

    monkeypatch.setattr(training, "read_dataset", warned)
    train(TrainJob(small_recipe(), data, tmp_path / "run", device="cpu"), Callbacks(log=said.append))
    assert "warning: patients are unknown" in said


def test_refused_work_leaves_no_folder(data: Path, tmp_path: Path) -> None:
    for mask in data.glob("*/masks/*"):
        mask.write_bytes(b"")
    with pytest.raises(BiosegError, match="usable cases"):
        run(data, tmp_path / "run")
    assert not (tmp_path / "run").exists()
