"""Nobody's work is overwritten: what may be written where."""

import json
import shutil
from pathlib import Path

import pytest

from bioseg.datasets import phantom_layouts
from bioseg.inference import pretrained
from bioseg.pipelines import evaluate as evaluating
from bioseg.pipelines import scoring
from bioseg.pipelines.evaluate import EvaluateJob, evaluate
from bioseg.pipelines.train import TrainJob, train
from bioseg.types import BiosegError
from tests.pipelines.models import small_recipe, write_run


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "_draw", lambda *arguments: None)
    monkeypatch.setattr(evaluating, "write_report", lambda folders: folders[0])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """``data``, ``other-data``, ``model`` and ``other-model``."""
    for name, seed in (("data", 0), ("other-data", 1)):
        phantom_layouts.write_nuclei(tmp_path / name, count=3, seed=seed, size_px=32)
    for name, seed in (("model", 0), ("other-model", 1)):
        write_run(tmp_path / name, seed=seed, images={}, parts={"train": ["x"], "validation": [], "test": []})
    return tmp_path


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("other-model", "a run or a model"),
        ("model", "which is read"),
        ("data", "which is read"),
        (".", "which is read"),
        ("data/../data", "which is read"),
        ("file", "is a file"),
        ("notes", "holds other files"),
    ],
)
def test_an_evaluation_goes_to_a_folder_of_its_own(out: str, said: str, home: Path) -> None:
    (home / "file").write_text("mine")
    (home / "notes").mkdir()
    (home / "notes" / "report.html").write_text("mine")
    before = content(home)
    with pytest.raises(BiosegError, match=said) as refused:
        evaluate(EvaluateJob(home / "model", home / "data", home / out, device="cpu"))
    assert "\n" not in str(refused.value)
    assert content(home) == before


def test_an_evaluation_never_goes_to_a_pretrained_model(home: Path) -> None:
    for model in ("nuclei", "cardiac-lv"):
        with pytest.raises(BiosegError, match="which is read" if model == "nuclei" else "a run or a model"):
            evaluate(EvaluateJob("nuclei", home / "data", pretrained.ROOT / model, device="cpu"))


def test_an_evaluation_may_be_repeated_but_not_replaced(home: Path) -> None:
    out = home / "scores"
    job = EvaluateJob(home / "model", home / "data", out, device="cpu")
    first, _ = evaluate(job)
    again, _ = evaluate(job)
    assert again["dice"] == first["dice"]
    before = content(out)
    shutil.copytree(home / "other-data", home / "elsewhere" / "data")  # of the same name
    for other in (
        EvaluateJob(home / "other-model", home / "data", out, device="cpu"),
        EvaluateJob(home / "model", home / "other-data", out, device="cpu"),
        EvaluateJob(home / "model", home / "elsewhere" / "data", out, device="cpu"),
        EvaluateJob(home / "model", home / "data", out, unseen_only=True, device="cpu"),
    ):
        with pytest.raises(BiosegError, match="another model or on other data"):
            evaluate(other)
    assert content(out) == before


@pytest.mark.parametrize("resume", [False, True])
def test_a_training_takes_no_other_folder(resume: bool, home: Path) -> None:
    (home / "file").write_text("mine")
    (home / "notes").mkdir()
    (home / "notes" / "scores.csv").write_text("mine")
    evaluate(EvaluateJob(home / "model", home / "data", home / "scores", device="cpu"))
    before = content(home)
    for out, said in (
        (home / "file", "is a file"), (home / "data", "which is read"), (home, "which is read"),
        (home / "notes", "holds other files"), (home / "scores", "holds an evaluation"),
        (pretrained.ROOT / "nuclei", "holds a pretrained model"), (home / "model", "was made with split" if resume else "--resume"),
    ):  # fmt: skip
        with pytest.raises(BiosegError, match=said):
            train(TrainJob(small_recipe(), home / "data", out, resume=resume, device="cpu"))
    assert content(home) == before


def test_the_record_of_an_evaluation_says_what_it_is_of(home: Path) -> None:
    evaluate(EvaluateJob(home / "model", home / "data", home / "scores", device="cpu"))
    record = json.loads((home / "scores" / "record.json").read_text())
    assert record["evaluated_on"] == "data" and record["model"] == str(home / "model")
    assert not {"parts", "images", "weights_sha256"} & set(record)
