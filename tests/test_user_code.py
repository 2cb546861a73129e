"""A user's own recipe, network, loss, layout and split: run by opt-in alone, recorded by hash, opened again by opt-in."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bioseg
from bioseg import user_code
from bioseg.datasets import phantom_layouts
from bioseg.pipelines.open import open_predictor
from bioseg.pipelines.report import report
from bioseg.pipelines.train import TrainJob, train
from bioseg.recipe import SegmentationRecipe
from bioseg.types import BiosegError

MODULE = '''
"""A recipe of a user's own; it leaves a mark when it is run."""
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from bioseg import call, get_recipe
from bioseg.datasets import folders, splits

with open(MARK, "a") as mark:
    mark.write("run\\n")


class Tiny(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 1, 1))

    def forward(self, images):
        return self.body(images)


def tiny(width=4):
    return Tiny(width)


def hinge(logits, truth):
    return torch.relu(1 - logits * (2 * truth - 1)).mean()


def list_cases(folder):
    return folders.list_cases(folder)


def last_quarter(cases):
    return splits.ordered_tail(cases, validation=0.25)


base = get_recipe("ct-lungs-reference")
RECIPE = replace(
    base,
    name="mine",
    layout=call(list_cases),
    split=call(last_quarter),
    network=call(tiny, width=6),
    training=replace(base.training, loss=call(hinge), epochs=1, batch_size=4),
    preparation=replace(base.preparation, size_px=(32, 32)),
)
OTHER = replace(RECIPE, name="other")
'''


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data``, ``my_recipe.py`` and the run it made; what was run so far is forgotten."""
    root = tmp_path_factory.mktemp("user")
    phantom_layouts.write_images_masks(root / "data", count=8, seed=0, size_px=32)
    (root / "my_recipe.py").write_text(MODULE.replace("MARK", repr(str(root / "mark")), 1))
    result = bioseg.train(str(root / "my_recipe.py"), root / "data", root / "run", device="cpu", allow_code=True)
    assert result.summary["cases"] == 2 and (root / "mark").read_text() == "run\n"  # once, though it was opened again
    return root


@pytest.fixture(autouse=True)
def forget(place: Path) -> None:
    """As in a new process: nothing of the user's is loaded."""
    sys.modules.pop("user_my_recipe", None)
    (place / "mark").unlink(missing_ok=True)


def test_it_is_recorded_by_name_and_hash_and_kept(place: Path) -> None:
    record = json.loads((place / "run" / "record.json").read_text())
    kept = place / "run" / "code" / "user_my_recipe.py"
    assert kept.read_bytes() == (place / "my_recipe.py").read_bytes()
    assert record["code"] == {"user_my_recipe": {"sha256": user_code._digest(kept.read_bytes()), "from": "copy"}}
    assert record["recipe"]["network"] == {"$call": "user_my_recipe:tiny", "width": 6}
    assert str(place) not in json.dumps(record["recipe"])


def test_it_opens_and_predicts_where_that_is_allowed(place: Path, tmp_path: Path) -> None:
    elsewhere = shutil.copytree(place / "run", tmp_path / "run")
    image = next((place / "data" / "images").iterdir())
    found = [bioseg.load(folder, "cpu", allow_code=True).predict(image) for folder in (place / "run", elsewhere)]
    assert np.array_equal(found[0].probability, found[1].probability)
    assert (place / "mark").read_text() == "run\n"
    summary, problems = bioseg.evaluate(elsewhere, place / "data", tmp_path / "ev", device="cpu", allow_code=True)
    assert summary["cases"] == 8 and not problems


def test_without_that_nothing_of_it_runs(place: Path, tmp_path: Path) -> None:
    run, data = place / "run", place / "data"
    for refused in (
        lambda: bioseg.load(run, "cpu"),
        lambda: bioseg.evaluate(run, data, tmp_path / "ev", device="cpu"),
        lambda: bioseg.train(str(place / "my_recipe.py"), data, tmp_path / "new", device="cpu"),
        lambda: bioseg.train(f"{place / 'my_recipe.py'}", data, run, resume=True, device="cpu"),
        lambda: bioseg.train("user_my_recipe:RECIPE", data, tmp_path / "new", device="cpu"),
    ):
        with pytest.raises(BiosegError, match="--allow-code") as caught:
            refused()  # type: ignore[no-untyped-call]
        assert "\n" not in str(caught.value)
    assert not (place / "mark").exists() and not (tmp_path / "new").exists() and not (tmp_path / "ev").exists()


def test_a_report_needs_no_code(place: Path, tmp_path: Path) -> None:
    page = report([place / "run"], tmp_path / "report.html").read_text()
    assert "tiny(width=6)" in page and not (place / "mark").exists()


def test_code_that_was_changed_is_refused(place: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(place / "run", tmp_path / "run"))
    kept = run / "code" / "user_my_recipe.py"
    kept.write_text(kept.read_text() + "# changed\n")
    with pytest.raises(BiosegError, match=r"record\.json: code\.user_my_recipe: SHA-256 is .*restore"):
        bioseg.load(run, "cpu", allow_code=True)
    kept.unlink()
    with pytest.raises(BiosegError, match=r"user_my_recipe\.py: not there"):
        bioseg.load(run, "cpu", allow_code=True)
    assert not (place / "mark").exists()


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("bioseg.files", {"sha256": "0", "from": "package"}),
        ("../evil", {"sha256": "0", "from": "copy"}),
        ("", {"sha256": "0", "from": "copy"}),
        ("os", {"sha256": "0", "from": "package"}),
        ("no_such_package", {"sha256": "0", "from": "package"}),
        ("user_evil", {}),
    ],
)
def test_a_record_with_wrong_code_is_refused(name: str, entry: dict[str, str], place: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(place / "run", tmp_path / "run"))
    record = json.loads((run / "record.json").read_text())
    (run / "record.json").write_text(json.dumps(record | {"code": {name: entry}}))
    with pytest.raises(BiosegError) as caught:
        bioseg.load(run, "cpu", allow_code=True)
    assert "\n" not in str(caught.value) and not (place / "mark").exists()


def test_a_run_is_resumed_with_the_same_code_only(place: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(place / "run", tmp_path / "run"))
    source = tmp_path / "my_recipe.py"
    shutil.copy(place / "my_recipe.py", source)
    bioseg.train(str(source), place / "data", run, resume=True, device="cpu", allow_code=True)
    source.write_text(source.read_text() + "# changed\n")
    with pytest.raises(BiosegError, match=r"code\.user_my_recipe: SHA-256 is"):
        bioseg.train(str(source), place / "data", run, resume=True, device="cpu", allow_code=True)


def test_a_module_of_a_package_is_opened_from_the_package(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mypackage").mkdir()
    (tmp_path / "mypackage" / "__init__.py").touch()
    module = tmp_path / "mypackage" / "recipes.py"
    module.write_text((place / "my_recipe.py").read_text())
    monkeypatch.syspath_prepend(tmp_path)
    run = tmp_path / "run"
    bioseg.train("mypackage.recipes:OTHER", place / "data", run, folds=2, device="cpu", allow_code=True)
    record = json.loads((run / "fold-1" / "record.json").read_text())
    assert record["name"] == "other" and record["code"]["mypackage.recipes"]["from"] == "package"
    assert (run / "fold-1" / "code" / "mypackage.recipes.py").read_bytes() == module.read_bytes()
    assert len(open_predictor(run, "cpu", allow_code=True).backends) == 2
    module.write_text(module.read_text() + "# changed\n")
    with pytest.raises(BiosegError, match="SHA-256"):
        open_predictor(run, "cpu", allow_code=True)
    with pytest.raises(BiosegError, match="defines no recipe called NOTHING"):
        user_code.get_recipe("mypackage.recipes:NOTHING", allow=True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("x = (", "SyntaxError"), ("raise RuntimeError('two\\nlines')", "RuntimeError: two"), ("import no_such", "no_such"),
        ("RECIPE = 5", "defines no recipe called RECIPE"), ("", "defines no recipe"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_run_is_named_in_one_line(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(content)
    with pytest.raises(BiosegError, match=words) as caught:
        user_code.get_recipe(str(tmp_path / "broken.py"), allow=True)
    assert "\n" not in str(caught.value)
    assert "user_broken" not in sys.modules or words.startswith("defines")
    with pytest.raises(BiosegError, match="not there"):
        user_code.get_recipe(str(tmp_path / "missing.py"), allow=True)


def test_a_network_that_does_not_fit_is_refused_before_anything_is_written(place: Path, tmp_path: Path) -> None:
    recipe = user_code.get_recipe(str(place / "my_recipe.py"), allow=True)
    assert isinstance(recipe, SegmentationRecipe)
    job = TrainJob(recipe, place / "data", tmp_path / "run", settings=("preparation.channels=3",), allow_code=True)
    with pytest.raises(BiosegError, match="network: tiny, hinge: RuntimeError"):
        train(job)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_command_line_asks_for_it(place: Path, tmp_path: Path) -> None:
    def bioseg(*words: object) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-c", "from bioseg.cli import main; main()", *map(str, words)]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    image = next((place / "data" / "images").iterdir())
    refused = bioseg("predict", place / "run", image, "--out", tmp_path / "masks")
    assert refused.returncode == 1 and "--allow-code" in refused.stderr and refused.stderr.count("\n") == 1
    assert not (tmp_path / "masks").exists() and not (place / "mark").exists()
    done = bioseg("predict", place / "run", image, "--out", tmp_path / "masks", "--allow-code")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "masks" / f"{image.stem}.png").exists()
