"""Cases that trained or chose a model are never scored as unseen."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from bioseg.datasets import phantom_layouts
from bioseg.datasets.folders import read_dataset
from bioseg.datasets.identity import content_hashes
from bioseg.pipelines import evaluate as evaluating
from bioseg.pipelines import scoring
from bioseg.pipelines.evaluate import EvaluateJob, evaluate, seen_cases
from bioseg.types import BiosegError, Callbacks
from tests.pipelines.models import small_recipe, write_run


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "_draw", lambda *arguments: None)
    monkeypatch.setattr(evaluating, "write_report", lambda folders: folders[0])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    phantom_layouts.write_images_masks(tmp_path / "data", count=6, size_px=40)
    return tmp_path / "data"


def parts_of(data: Path) -> dict[str, list[str]]:
    ids = [case.id for case in read_dataset(data, small_recipe().layout).cases]
    return {"train": ids[:3], "validation": ids[3:4], "test": ids[4:]}


def hashes_of(data: Path) -> dict[str, str]:
    return content_hashes(read_dataset(data, small_recipe().layout).cases)


def run_evaluation(
    model: Path, data: Path, out: Path, *, unseen_only: bool = False
) -> tuple[dict[str, object], list[str]]:
    said = list[str]()
    job = EvaluateJob(model, data, out, unseen_only=unseen_only, device="cpu")
    summary, problems = evaluate(job, Callbacks(log=said.append))
    assert problems == []
    assert json.loads((out / "summary.json").read_text())["seen"] == summary["seen"]
    return summary, said


def test_images_are_known_by_their_content_whatever_they_are_called(data: Path, tmp_path: Path) -> None:
    model = write_run(tmp_path / "model", parts=parts_of(data), images=hashes_of(data), data="data")
    summary, said = run_evaluation(model, data, tmp_path / "a")
    assert summary["seen"] == {"validation": 1, "train": 3} and summary["cases"] == 6
    assert "4 of 6 images trained or chose this model: optimistically biased" in said[0]

    renamed = tmp_path / "renamed"
    for kind in ("images", "masks"):
        for path in sorted((data / kind).iterdir()):
            (renamed / kind).mkdir(parents=True, exist_ok=True)
            Image.open(path).save(renamed / kind / f"z{path.stem}.tif")  # another name and format
    assert run_evaluation(model, renamed, tmp_path / "b")[0]["seen"] == {"validation": 1, "train": 3}

    summary, said = run_evaluation(model, data, tmp_path / "c", unseen_only=True)
    assert summary["cases"] == 2 and summary["seen"] == {"validation": 0, "train": 0}
    assert said[0] == "none of 2 images trained or chose this model"


def test_the_same_ids_of_other_images_are_unseen(data: Path, tmp_path: Path) -> None:
    model = write_run(tmp_path / "model", parts=parts_of(data), images=hashes_of(data), data="data")
    other = tmp_path / "other" / "data"
    phantom_layouts.write_images_masks(other, count=6, size_px=40, seed=9)
    assert parts_of(other) == parts_of(data)
    assert run_evaluation(model, other, tmp_path / "out")[0]["seen"] == {"validation": 0, "train": 0}


def test_records_without_hashes_know_ids_in_their_own_data_set(data: Path, tmp_path: Path) -> None:
    model = write_run(tmp_path / "model", parts=parts_of(data), data="data")
    assert run_evaluation(model, data, tmp_path / "a")[0]["seen"] == {"validation": 1, "train": 3}
    shutil.copytree(data, tmp_path / "elsewhere")
    assert run_evaluation(model, tmp_path / "elsewhere", tmp_path / "b")[0]["seen"] == {"validation": 0, "train": 0}


def test_pretrained_records_have_hashes_alone(data: Path, tmp_path: Path) -> None:
    digests = list(hashes_of(data).values())
    model = write_run(tmp_path / "model", image_hashes={digests[0]: "train", digests[1]: "validation"})
    assert run_evaluation(model, data, tmp_path / "out")[0]["seen"] == {"validation": 1, "train": 1}


def test_a_case_of_several_folds_counts_as_trained_on(data: Path, tmp_path: Path) -> None:
    ids, model = list(hashes_of(data)), write_run(tmp_path / "model", folds=2)
    for fold, (train, validation) in enumerate(((ids[:2], ids[2:4]), (ids[2:4], ids[:2]))):
        parts = {"train": train, "validation": validation, "test": ids[4:]}
        write_run(model / f"fold-{fold}", parts=parts, images=hashes_of(data))
    found = seen_cases(model, read_dataset(data, small_recipe().layout))
    assert found == dict.fromkeys(ids[:4], "train")


def test_what_cannot_be_known_is_said(data: Path, tmp_path: Path) -> None:
    model = write_run(tmp_path / "model")
    summary, said = run_evaluation(model, data, tmp_path / "a")
    assert summary["seen"] is None and "unknown which images trained this model" in said[0]
    with pytest.raises(BiosegError, match=r"does not say which images.*leave out --unseen-only"):
        run_evaluation(model, data, tmp_path / "b", unseen_only=True)
    assert not (tmp_path / "b").exists()


def test_nothing_unseen_is_refused(data: Path, tmp_path: Path) -> None:
    parts = {"train": list(hashes_of(data)), "validation": [], "test": []}
    model = write_run(tmp_path / "model", parts=parts, images=hashes_of(data))
    with pytest.raises(BiosegError, match="all 6 images trained or chose this model; give others"):
        run_evaluation(model, data, tmp_path / "out", unseen_only=True)


def test_an_unreadable_image_is_named_and_the_rest_scored(data: Path, tmp_path: Path) -> None:
    model = write_run(tmp_path / "model", parts=parts_of(data), images=hashes_of(data))
    bad = sorted((data / "images").iterdir())[2]
    bad.write_bytes(b"\x89PNG no more")
    summary, problems = evaluate(EvaluateJob(model, data, tmp_path / "out", device="cpu"))
    assert summary["cases"] == 5 and [one.path for one in problems] == [bad]
