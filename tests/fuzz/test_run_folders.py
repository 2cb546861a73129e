"""Run folders that were tampered with: every command gives a result, or one line that names the file and the field.

Never a traceback, a hang, or a file written outside ``--out``. The named variants say which line is expected; random changes of
the JSON files follow, a quick part of them in the normal selection.
"""

import copy
import hashlib
import json
import random
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bioseg import cli, recipes
from bioseg.datasets import phantom_layouts
from bioseg.inference.predictor import Evidence
from bioseg.pipelines.train import TrainJob, train
from bioseg.quality.model import Distribution, QualityModel
from bioseg.recipe import SegmentationRecipe
from bioseg.record import read_spec

from .records import RECORDS
from .run_files import FILES, RESUMED
from .tampering import QUALITY, WEIGHTS, tensors

SETTINGS = (
    "preparation.size_px=[32,32]", "training.epochs=1", "training.batch_size=4", "evaluated_on=original",
    'choose={"$call":"bioseg.postprocess.choose:threshold","candidates":[0.4,0.5]}',
    'quality={"$call":"bioseg.quality.fit:fit_quality"}',
)  # fmt: skip
JSON = ("record.json", "summary.json", "postprocess.json", "quality_model.json", "last/state.json")
QUICK, LONG = 6, 1000
"""Random changes in the normal selection, and in the slow one."""


VARIANTS = RECORDS | FILES


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data``, one ``image.png`` and a tiny ``run``."""
    root = tmp_path_factory.mktemp("fuzz")
    phantom_layouts.write_images_masks(root / "data", count=10, seed=0, size_px=32)
    shutil.copy(next((root / "data" / "images").iterdir()), root / "image.png")
    recipe = recipes.get("ct-lungs-reference")
    assert isinstance(recipe, SegmentationRecipe)
    torch.manual_seed(0)
    train(TrainJob(recipe, root / "data", root / "run", settings=SETTINGS, device="cpu"))
    shutil.rmtree(root / "run" / "tensorboard")
    shutil.rmtree(root / "run" / "figures")
    return root


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run to be tampered with."""
    return Path(shutil.copytree(trained / "run", tmp_path / "run"))


class Outcome:
    """What a command said and did."""

    def __init__(self, command: str, code: int, lines: list[str]) -> None:
        self.command, self.code, self.lines = command, code, lines

    @property
    def refusal(self) -> str:
        """The line of a refused command; empty where there was a result."""
        return self.lines[0] if self.code and len(self.lines) == 1 else ""


def bioseg(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object) -> Outcome:
    monkeypatch.setattr(sys, "argv", ["bioseg", *map(str, words)])
    capfd.readouterr()
    code: Any = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = stop.code or 0
    lines = [line for line in capfd.readouterr().err.splitlines() if line]
    assert all(line.startswith("bioseg: ") for line in lines), lines
    assert code == 0 or lines, words
    return Outcome(str(words[0]), code, lines)


def tree(folder: Path) -> dict[str, str]:
    """Every file below ``folder`` with a digest of it; a pipe has none."""
    files = (path for path in folder.rglob("*") if not path.is_dir())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "" for path in files}


def commands(root: Path, run: Path, out: Path) -> Iterator[tuple[object, ...]]:
    """All that read a run; evaluate, which takes long where it succeeds, only where a prediction does not."""
    yield "predict", run, root / "image.png", "--out", out / "masks", "--device", "cpu"
    yield "report", run, "--out", out / "report.html"
    yield "compare", root / "run", run
    yield "evaluate", run, "--data", root / "data", "--out", out / "evaluation", "--device", "cpu"


def resume(root: Path, run: Path) -> tuple[object, ...]:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    return (
        "train",
        "ct-lungs-reference",
        "--data",
        root / "data",
        "--out",
        run,
        "--resume",
        "--device",
        "cpu",
        *settings,
    )


def outcomes(
    root: Path, run: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> list[Outcome]:
    """Of every command; nothing but what it was told to write is written."""
    before, out, done = tree(root) | tree(run), run.parent / "out", []
    for words in commands(root, run, out):
        if words[0] == "evaluate" and not done[0].refusal:
            continue
        done.append(bioseg(capfd, monkeypatch, *words))
    assert tree(root) | tree(run) == before
    assert {path.name for path in run.parent.iterdir()} <= {"run", "out"}
    return done


def test_there_are_enough() -> None:
    assert len(VARIANTS) + len(RESUMED) >= 80


def test_the_untouched_run_is_fine(
    trained: Path, run: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [(done.command, done.code, done.lines) for done in outcomes(trained, run, capfd, monkeypatch)] == [
        ("predict", 0, []), ("report", 0, []), ("compare", 0, []),
    ]  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_refused_in_one_line(
    name: str, trained: Path, run: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    change, words = VARIANTS[name]
    change(run)
    done = outcomes(trained, run, capfd, monkeypatch)
    lines = [line for one in done for line in one.lines]
    assert any(words in line for line in lines), lines
    assert not Path("bioseg-crafted").exists()


@pytest.mark.parametrize("name", RESUMED)
def test_a_variant_is_not_resumed(
    name: str, trained: Path, run: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    change, words = RESUMED[name]
    change(run)
    before = tree(trained)
    done = bioseg(capfd, monkeypatch, *resume(trained, run))
    assert words in done.refusal, done.lines
    assert tree(trained) == before and [path.name for path in run.parent.iterdir()] == ["run"]


def test_an_output_that_is_not_finite_is_no_mask(
    trained: Path, run: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finite weights may overflow on the way."""
    tensors(WEIGHTS, lambda own: [own[name].mul_(1e30) for name in own])(run)
    done, *_ = outcomes(trained, run, capfd, monkeypatch)
    assert done.code == 1 and "output is not finite" in done.lines[0]
    assert [path.name for path in (run.parent / "out" / "masks").glob("*.png")] == []


@pytest.mark.parametrize("feature", [float("nan"), float("inf")])
def test_a_quality_that_cannot_be_estimated_is_flagged(feature: float, run: Path) -> None:
    quality = read_spec(run, QUALITY, QualityModel)
    images = Distribution((0.0,), (1.0,), (), (), 1.0)
    plane = np.full((8, 8), 0.9, np.float32)
    evidence = Evidence(plane[None], plane, plane > 0.5, 0.5, np.array([feature], np.float32))
    estimate = replace(quality, images=images).estimate(evidence)
    assert estimate.flagged and estimate.score == 0 and "not finite" in estimate.reasons[0]


@pytest.mark.parametrize("name", ["no recipe", "weights NaN", "crafted call while decoding", "parts with numbers"])
def test_in_python_it_is_one_exception(name: str, run: Path) -> None:
    import bioseg as package

    VARIANTS[name][0](run)
    with pytest.raises(package.BiosegError):
        package.load(run, "cpu")


VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 10**6, 10**30, 0.5, -1e9, 1e300, "", "a", "nan", "../../x", [], [1], [[]], {}, {"a": 1},
    {"$type": "bioseg.recipe:Training"}, {"$call": "bioseg.training.losses:soft_dice"}, {"$function": "os:system"},
    {"$call": "bioseg.files:write", "path": "bioseg-crafted", "data": "x"}, ["a", "b"], "\ud7ff", "x" * 10_000,
)  # fmt: skip


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where values lie in JSON values."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*way, key)
        yield from places(item, (*way, key))


def mutated(value: Any, rng: random.Random) -> Any:
    """One to three changes: a value replaced, left out, doubled or exchanged for another of the same file."""
    value = copy.deepcopy(value)
    for _ in range(rng.randint(1, 3)):
        ways = list(places(value))
        if not ways:
            return rng.choice(VALUES)
        *way, last = rng.choice(ways)
        at = value
        for step in way:
            at = at[step]
        kind = rng.random()
        if kind < 0.6:
            at[last] = copy.deepcopy(rng.choice(VALUES))
        elif kind < 0.75:
            del at[last]
        elif kind < 0.9:
            other = value
            for step in rng.choice(ways)[: rng.randint(1, 4)]:
                other = other[step] if isinstance(other, dict | list) and _has(other, step) else other
            at[last] = copy.deepcopy(other)
        elif isinstance(at, list):
            at.append(copy.deepcopy(at[last]))
        else:
            at[f"{last}x"] = copy.deepcopy(at[last])
    return value


def _has(value: Any, step: Any) -> bool:
    return step in value if isinstance(value, dict) else isinstance(step, int) and step < len(value)


def shake(
    seeds: range, trained: Path, run: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = {name: json.loads((run / name).read_text()) for name in JSON}
    refused = 0
    for seed in seeds:
        rng = random.Random(seed)
        name = rng.choice(JSON)
        (run / name).write_text(json.dumps(mutated(sound[name], rng)))
        if name == "last/state.json":
            done = [bioseg(capfd, monkeypatch, *resume(trained, run))] if seed % 10 == 0 else []
        else:
            done = outcomes(trained, run, capfd, monkeypatch)
        refused += any(one.refusal for one in done)
        for one in done:
            assert one.code in (0, 1), (seed, name, one.lines)
        (run / name).write_text(json.dumps(sound[name]))
        if name == "last/state.json" or (run.parent / "out").exists():
            shutil.rmtree(run.parent / "out", ignore_errors=True)
            shutil.rmtree(run)
            shutil.copytree(trained / "run", run)
    assert refused > len(seeds) / 10


def test_random_changes_quick(
    trained: Path, run: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shake(range(QUICK), trained, run, capfd, monkeypatch)


@pytest.mark.long
def test_random_changes_long(
    trained: Path, run: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shake(range(QUICK, LONG), trained, run, capfd, monkeypatch)


@pytest.mark.parametrize("seed", range(12))
def test_flipped_bytes_of_weights(
    seed: int, trained: Path, run: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The header of a safetensors file, or anything in it, changed: a result or one line."""
    data = bytearray((run / WEIGHTS).read_bytes())
    rng = np.random.default_rng(seed)
    header = 8 + int.from_bytes(data[:8], "little")
    for place in rng.integers(0, header if seed % 2 else len(data), 5):
        data[place] ^= 1 << int(rng.integers(8))
    (run / WEIGHTS).write_bytes(bytes(data))
    predict = next(commands(trained, run, run.parent / "out"))
    assert bioseg(capfd, monkeypatch, *predict).code in (0, 1)
