"""Help, exit codes and the small commands."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from bioseg import cli
from bioseg.datasets import phantom_layouts
from bioseg.evaluation.summary import Row, write_csv
from bioseg.pipelines import machine
from bioseg.reports import figures
from tests.commands import Bioseg


def walk(command: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Every command with the words that call it."""
    inner = getattr(command, "commands", {})
    return [pair for name, one in inner.items() for pair in walk(one, (*path, name))] or [(path, command)]


COMMANDS = walk(get_command(cli.app))


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS])
def test_every_example_is_a_line_of_its_own_on_80_columns(path: tuple[str, ...], command: Any, bioseg: Bioseg) -> None:
    examples = re.findall(r"`([^`]+)`", command.epilog)
    assert examples and all(example.startswith("bioseg ") for example in examples)
    shown = bioseg(*path, "--help")
    assert shown.code == 0
    lines = [line.strip() for line in shown.out.splitlines()]
    assert [line for line in lines if line in examples] == examples
    assert all(len(line) <= 80 for line in shown.out.splitlines())
    assert f"Usage: bioseg {' '.join(path)}" in shown.out


def test_all_commands_are_there() -> None:
    assert {" ".join(path) for path, _ in COMMANDS} == {
        "recipes", "train", "evaluate", "predict", "translate", "report", "compare", "models", "demo", "doctor", "export",
        "data check", "data convert", "study cross-hospital", "study adaptation",
    }  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [["train"], ["nonsense"], ["predict", "nuclei", "--out"], ["evaluate", "--nothing"], ["study", "trials"]],
)
def test_usage_errors_exit_with_2(arguments: list[str], bioseg: Bioseg) -> None:
    assert bioseg(*arguments).code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["predict", "nuclei", "nowhere.png", "--out", "masks"], "nowhere.png"),
        (["train", "nothing", "--data", "nowhere", "--out", "run"], "nothing: no such recipe"),
        (["train", "auto", "--data", "nowhere", "--out", "run", "--folds", "1"], "--folds 1: give 2 or more"),
        (["train", "cxr-cyclegan-unet", "--data", "a", "--out", "run"], "--target"),
        (["evaluate", "nowhere", "--data", "a", "--out", "scores"], "nowhere: no such model"),
        (["study", "cross-hospital", "--montgomery", "nowhere", "--out", "study", "--budget", "huge"], "--budget huge"),
        (["compare", "nowhere"], "scores.csv"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_exit_1(
    arguments: list[str], said: str, bioseg: Bioseg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = bioseg(*arguments)
    assert result.code == 1
    assert len(result.error.strip().splitlines()) == 1 and said in result.error
    assert list(tmp_path.iterdir()) == []


def test_the_cards_of_the_models_can_be_opened(bioseg: Bioseg) -> None:
    shown = bioseg("models").out
    paths = [line for line in shown.splitlines() if line.endswith("card.md")]
    assert len(paths) == len(json.loads(bioseg("models", "--json").out)) >= 5
    for path in paths:
        assert "not a medical device" in Path(path).read_text(encoding="utf-8")


def test_comparing_runs_of_one_patient_says_so(bioseg: Bioseg, tmp_path: Path) -> None:
    for name, dice in (("first", 0.8), ("second", 0.9)):
        write_csv([Row(f"c{n}", "p", "", {"dice": dice}) for n in range(3)], tmp_path / name / "scores.csv")
    shown = " ".join(bioseg("compare", tmp_path / "first", tmp_path / "second").out.split())
    assert "nan" not in shown and "one" in shown and "patient" in shown


def test_doctor_tells_of_codecs_tensorboard_and_load(bioseg: Bioseg) -> None:
    result = bioseg("doctor", "--json")
    facts = json.loads(result.out)
    assert {"load", "codecs", "codecs missing", "TensorBoard"} <= facts.keys()
    assert re.fullmatch(r"\d+\.\d and \d+\.\d", facts["small U-Net, 128×128 (ms per image)"])
    assert "DICOM JPEG baseline" in facts["codecs"]


@pytest.mark.parametrize(
    ("per_core", "speeds", "said"),
    [
        (0.1, (5.0, 5.1), "idle (0.1 processes per core)"),
        (None, (5.0, 5.1), "idle"),
        (1.5, (5.0, 5.1), "busy: 1.5 processes per core"),
        (0.1, (5.0, 9.0), "unsteady: one of two measurements took 1.8 times as long"),
        (0.1, (9.0, 5.0), "unsteady: one of two measurements took 1.8 times as long"),
    ],
)
def test_a_busy_processor_is_told(per_core: float | None, speeds: tuple[float, float], said: str) -> None:
    assert machine.describe_load(per_core, speeds).startswith(said)


def test_missing_codecs_are_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"DICOM JPEG baseline": "pillow", "DICOM JPEG-LS": "missing; pip install pyjpegls"}
    monkeypatch.setattr(machine, "codecs", lambda: found)
    facts, healthy = machine.examine_machine()
    assert (
        facts["codecs"] == "DICOM JPEG baseline" and facts["codecs missing"] == "DICOM JPEG-LS (pip install pyjpegls)"
    )
    found["DICOM JPEG baseline"] = "missing; pip install pillow"
    assert healthy and not machine.examine_machine()[1]


def ends_with_its_report(out: str) -> Path:
    last = out.strip().splitlines()[-1]
    assert last.startswith("report ")
    page = Path(last.removeprefix("report "))
    assert page.is_absolute() and "mean Dice" in page.read_text(encoding="utf-8")
    return page


@pytest.mark.slow
def test_the_demo_on_a_folder_ends_with_the_path_of_its_report(
    bioseg: Bioseg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "png", lambda figure: b"")
    phantom_layouts.write_images_masks(tmp_path / "mine", count=5)
    result = bioseg("demo", "--data", tmp_path / "mine", "--out", tmp_path / "demo")
    assert result.code == 0, result.error
    ends_with_its_report(result.out)


@pytest.mark.slow
def test_the_demo_on_phantoms_ends_with_the_path_of_its_report(bioseg: Bioseg, tmp_path: Path) -> None:
    result = bioseg("demo", "--out", tmp_path / "demo")
    assert result.code == 0, result.error
    ends_with_its_report(result.out)
    assert len(list((tmp_path / "demo" / "masks").glob("*.png"))) >= 8
