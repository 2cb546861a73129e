"""A run goes on for more epochs than it was started with: the same as if they had been asked for, where the schedule allows."""

import json
from pathlib import Path
from typing import Any

import pytest

from bioseg.datasets import phantom_layouts
from bioseg.pipelines import assemble as assembling
from bioseg.pipelines import extend, scoring
from bioseg.pipelines import train as training
from bioseg.pipelines.train import TrainJob, train
from bioseg.types import BiosegError, Callbacks
from tests.pipelines.models import small_recipe


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "_draw", lambda *arguments: None)
    monkeypatch.setattr(assembling, "_draw", lambda *arguments: None)
    monkeypatch.setattr(assembling, "write_report", lambda folders: folders[0])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extend") / "data"
    phantom_layouts.write_images_masks(folder, count=6, size_px=32)
    return folder


CONSTANT = "training.schedule=constant"


def run(data: Path, out: Path, epochs: int, *more: str, **job: Any) -> list[str]:
    said = list[str]()
    settings = (f"training.epochs={epochs}", "training.patience=null", *more)
    recipe = small_recipe("split.test=0", "split.validation=0.3")
    train(TrainJob(recipe, data, out, settings=settings, device="cpu", **job), Callbacks(log=said.append))
    return said


def rows(out: Path) -> list[dict[str, Any]]:
    lines = (out / "journal.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


RESULTS = ("best.safetensors", "last/network.safetensors", "last/optimiser.safetensors", "scores.csv")


@pytest.mark.parametrize("folds", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_with_a_schedule_of_no_total_it_is_the_longer_run(data: Path, folds: int, tmp_path: Path) -> None:
    run(data, tmp_path / "long", 3, CONSTANT, folds=folds)
    run(data, tmp_path / "short", 1, CONSTANT, folds=folds)
    said = run(data, tmp_path / "short", 3, CONSTANT, folds=folds, resume=True)
    assert sum("goes on after epoch" in line for line in said) == (folds + 1 if folds else 1)
    for place in ("fold-0", "fold-1") if folds else ("",):
        short, long = tmp_path / "short" / place, tmp_path / "long" / place
        for name in RESULTS:
            if (long / name).exists():
                assert (short / name).read_bytes() == (long / name).read_bytes(), name
        assert rows(short) == rows(long)
        record = json.loads((short / "record.json").read_text())
        assert record["extended"] == [{"epochs": 1, "after": 1}]
        assert record["fingerprint"] == json.loads((long / "record.json").read_text())["fingerprint"]


@pytest.mark.slow
def test_the_one_cycle_is_taken_where_it_would_be_of_the_new_total(data: Path, tmp_path: Path) -> None:
    cycle = "training.schedule=one_cycle"
    run(data, tmp_path / "long", 4, cycle)
    run(data, tmp_path / "short", 2, cycle)
    said = run(data, tmp_path / "short", 4, cycle, resume=True)
    assert any("one_cycle is taken at epoch 2 of 4: learning rate 1e-07 → 0.00069" in line for line in said)
    long, short = rows(tmp_path / "long"), rows(tmp_path / "short")
    assert [row["learning_rate"] for row in short[2:]] == [row["learning_rate"] for row in long[2:]]
    assert short[1]["learning_rate"] < long[1]["learning_rate"]


@pytest.mark.slow
def test_killed_right_after_the_record_was_written_it_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(data, tmp_path / "long", 2, CONSTANT)
    run(data, tmp_path / "short", 1, CONSTANT)

    def killed(*arguments: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "fit_fold", killed)
        with pytest.raises(KeyboardInterrupt):
            run(data, tmp_path / "short", 2, CONSTANT, resume=True)
    said = run(data, tmp_path / "short", 2, CONSTANT, resume=True)
    assert not any("goes on" in line for line in said)
    assert (tmp_path / "short" / RESULTS[0]).read_bytes() == (tmp_path / "long" / RESULTS[0]).read_bytes()
    assert rows(tmp_path / "short") == rows(tmp_path / "long")


def test_nothing_but_more_epochs_is_allowed(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "run", 2)
    before = (tmp_path / "run" / "record.json").read_bytes()
    with pytest.raises(BiosegError, match=r"training.epochs 2 → 1.*only training.epochs may grow"):
        run(data, tmp_path / "run", 1, resume=True)
    with pytest.raises(BiosegError, match=r"training.batch_size 16 → 2"):
        run(data, tmp_path / "run", 3, "training.batch_size=2", resume=True)
    assert (tmp_path / "run" / "record.json").read_bytes() == before


def test_patience_that_has_run_out_is_said(tmp_path: Path) -> None:
    lines = [json.dumps({"epoch": one, "validation_loss": 1.0, "best": one == 1}) for one in (1, 2, 3)]
    (tmp_path / "journal.jsonl").write_text("\n".join(lines))
    how = small_recipe("training.patience=2", "training.epochs=9")
    assert "stopped after epoch 3 by patience 2; more epochs do not change that" in extend._sentence(
        tmp_path, how, 3, 3
    )
