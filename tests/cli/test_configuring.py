"""``--config``, ``--track``, completion and the extras, from the command line."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bioseg import cli
from bioseg.cli import configuring
from bioseg.pipelines import machine, train
from bioseg.pipelines.train import TrainJob
from bioseg.types import BiosegError, Callbacks
from tests.commands import Bioseg


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[TrainJob]:
    """The jobs that ``bioseg train`` was to carry out; none is."""
    found: list[TrainJob] = []

    def work(job: TrainJob, callbacks: Callbacks) -> None:
        found.append(job)
        raise BiosegError("far enough")

    monkeypatch.setattr(train, "train", work)
    return found


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[options]\nrecipe = "nuclei"\ndata = "cells"\nout = "runs/n"\nfolds = 3\ntrack = "csv"\n[training]\nepochs = 7\n'
        "batch_size = 2\n"
    )
    return path


def test_a_config_file_gives_arguments_options_and_settings(toml: Path, jobs: list[TrainJob], bioseg: Bioseg) -> None:
    assert "far enough" in bioseg("train", "--config", toml).error
    (job,) = jobs
    assert (job.recipe.name, job.data, job.out, job.folds) == ("nuclei", Path("cells"), Path("runs/n"), 3)
    assert job.settings == ("training.epochs=7", "training.batch_size=2") and job.config == toml.read_text()


def test_what_is_typed_wins(toml: Path, jobs: list[TrainJob], bioseg: Bioseg) -> None:
    bioseg("train", "nuclei-reference", "--out", "b", "--folds", "0", "--set", "training.epochs=9", "--config", toml)
    (job,) = jobs
    assert (job.recipe.name, job.data, job.out, job.folds) == ("nuclei-reference", Path("cells"), Path("b"), 0)
    assert job.settings == ("training.epochs=7", "training.batch_size=2", "training.epochs=9")


@pytest.mark.parametrize(
    ("command", "text", "said"),
    [
        ("train", "[options]\nfold = 3", "options.fold: `train` has no such option; did you mean 'folds'? there are: "),
        ("train", "[options]\nallow-code = true", "options.allow-code: a file cannot allow code; give --allow-code"),
        ("train", "[options]\nset = ['a=1']", "options.set: `train` has no such option"),
        ("train", "[training]\nepoch = 3", "training.epoch=3: there is no 'epoch' here; did you mean 'epochs'?"),
        ("train", "[options", "no TOML"),
        ("predict", "[training]\nepochs = 3", "training.epochs=3: `predict` has no settings; keep [options] alone"),
        ("evaluate", "[options]\nunseenonly = true", "did you mean 'unseen-only'?"),
    ],
)
def test_what_is_wrong_in_it_is_one_line(command: str, text: str, said: str, tmp_path: Path, bioseg: Bioseg) -> None:
    (tmp_path / "a.toml").write_text(text)
    more = ["nuclei", "--out", tmp_path / "out", *([tmp_path] if command == "predict" else ["--data", tmp_path])]
    result = bioseg(command, *more, "--config", tmp_path / "a.toml")
    assert result.code == 1 and said in result.error and len(result.error.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_value_of_the_wrong_type_is_a_usage_error(tmp_path: Path, bioseg: Bioseg) -> None:
    (tmp_path / "a.toml").write_text('[options]\nfolds = "many"')
    result = bioseg("train", "nuclei", "--data", "a", "--out", "b", "--config", tmp_path / "a.toml")
    assert result.code == 2 and "--folds" in result.error


def test_predict_and_evaluate_take_their_options_from_a_file(tmp_path: Path, bioseg: Bioseg) -> None:
    (tmp_path / "a.toml").write_text('[options]\nmodel = "nuclei"\npaths = ["nowhere.png"]\nout = "masks"\n')
    assert "nowhere.png: no such file" in bioseg("predict", "--config", tmp_path / "a.toml").error
    (tmp_path / "a.toml").write_text('[options]\nmodel = "none-such"\ndata = "cells"\nout = "scores"\nadapt = true\n')
    assert "none-such: no such model" in bioseg("evaluate", "--config", tmp_path / "a.toml").error


def test_an_unknown_service_is_named(jobs: list[TrainJob], bioseg: Bioseg) -> None:
    result = bioseg("train", "nuclei", "--data", "a", "--out", "b", "--track", "neptune")
    assert result.code == 1 and "--track neptune: unknown" in result.error and jobs == []


def test_a_recipe_is_printed_as_a_config_file(bioseg: Bioseg) -> None:
    result = bioseg("recipes", "nuclei")
    assert result.code == 0 and "[training]\n" in result.out and 'recipe = "nuclei"\n' in result.out


def completed(words: Sequence[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> list[str]:
    """What bash is given after ``bioseg WORDS``."""
    monkeypatch.setitem(os.environ, "_BIOSEG_COMPLETE", "complete_bash")
    monkeypatch.setitem(os.environ, "COMP_WORDS", " ".join(["bioseg", *words]))
    monkeypatch.setitem(os.environ, "COMP_CWORD", str(len(words)))
    monkeypatch.setattr(sys, "argv", ["bioseg"])
    capfd.readouterr()
    with pytest.raises(SystemExit):
        cli.main()
    return capfd.readouterr().out.split()


def test_the_shell_completes_recipes_models_and_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("runs/mine", "notes"):
        Path(name).mkdir(parents=True)
    for name in ("nuclei_mine.py", "cells.bioseg", "runs/a.txt"):
        Path(name).touch()
    assert completed(["train", "nuc"], monkeypatch, capfd) == ["nuclei", "nuclei-reference", "nuclei_mine.py"]
    assert completed(["predict", "c"], monkeypatch, capfd)[-1] == "cells.bioseg"
    assert completed(["predict", "n"], monkeypatch, capfd) == ["nuclei", "notes/"]
    assert completed(["train", "auto", "--con"], monkeypatch, capfd) == ["--config"]
    assert configuring.models_like("runs/") == ["runs/mine/"]


def test_doctor_lists_the_extras_of_the_package_s_own_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: dict[str, Any] = {
        "Provides-Extra": ["tables", "cloud", "dev"],
        "Requires-Dist": [
            "numpy>=1", "nothing-old; python_version < '3'", "scipy>=1; extra == 'tables'", "no-such-package; extra == 'cloud'",
            "pytest; extra == 'cloud'",
        ],
    }  # fmt: skip
    monkeypatch.setattr(machine.metadata, "metadata", lambda name: SimpleNamespace(get_all=lines.get))
    assert machine.extras() == {"tables": [], "cloud": ["no-such-package"], "dev": []}
    assert machine.describe_extras() == "tables, dev; missing: cloud (no-such-package); pip install 'bioseg[NAME]'"
