"""Run folders that were tampered with: every command gives a result, or one line that names the file and the field.

Never a traceback, a hang, or a file written outside ``--out``. The named variants say which line is expected; random changes of
the JSON files follow, a quick part of them in the normal selection.
"""

import copy
import hashlib
import json
import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bioseg import cli, recipes
from bioseg.datasets import phantom_layouts
from bioseg.inference.predictor import Evidence
from bioseg.pipelines.train import TrainJob, train
from bioseg.quality.model import Distribution, QualityModel
from bioseg.recipe import SegmentationRecipe
from bioseg.record import read_spec

SETTINGS = (
    "preparation.size_px=[32,32]", "training.epochs=1", "training.batch_size=4", "evaluated_on=original",
    'choose={"$call":"bioseg.postprocess.choose:threshold","candidates":[0.4,0.5]}',
    'quality={"$call":"bioseg.quality.fit:fit_quality"}',
)  # fmt: skip
JSON = ("record.json", "summary.json", "postprocess.json", "quality_model.json", "last/state.json")
QUICK, LONG = 24, 1500
"""Random changes in the normal selection, and in the slow one."""


Change = Callable[[Path], Any]
"""What is done to a run folder."""


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


def put(file: str, *path: Any) -> Change:
    """Set the value at a path of a JSON file: names and places, the value last; without a path the whole."""

    def change(run: Path) -> None:
        whole = json.loads((run / file).read_text())
        *way, value = path
        if not way:
            whole = value
        else:
            at = whole
            for step in way[:-1]:
                at = at[step]
            at[way[-1]] = value
        (run / file).write_text(json.dumps(whole))

    return change


def drop(file: str, *path: Any) -> Change:
    """Remove what lies at a path of a JSON file."""

    def change(run: Path) -> None:
        whole = at = json.loads((run / file).read_text())
        for step in path[:-1]:
            at = at[step]
        del at[path[-1]]
        (run / file).write_text(json.dumps(whole))

    return change


def text(file: str, content: str | bytes) -> Change:
    """Replace a file."""
    return lambda run: (run / file).write_bytes(content if isinstance(content, bytes) else content.encode())


def swap(file: str, old: str, new: str) -> Change:
    """Replace the first occurrence of a text in a file."""

    def change(run: Path) -> None:
        whole = (run / file).read_text()
        assert old in whole, (file, old)
        (run / file).write_text(whole.replace(old, new, 1))

    return change


def special(file: str) -> Change:
    """A pipe in place of a file: it would be waited for."""

    def change(run: Path) -> None:
        (run / file).unlink()
        os.mkfifo(run / file)

    return change


def folder(file: str) -> Change:
    def change(run: Path) -> None:
        (run / file).unlink()
        (run / file).mkdir()

    return change


def cut(file: str, count: int) -> Change:
    """Leave out the last bytes."""
    return lambda run: (run / file).write_bytes((run / file).read_bytes()[:-count])


def tensors(file: str, change: Callable[[dict[str, torch.Tensor]], Any]) -> Change:
    """Change the tensors of a safetensors file."""

    def changed(run: Path) -> None:
        own = load_file(run / file)
        change(own)
        save_file(own, run / file)

    return changed


def first(own: dict[str, torch.Tensor]) -> str:
    return sorted(own)[0]


def poison(value: float, dtype: torch.dtype = torch.float32) -> Callable[[dict[str, torch.Tensor]], Any]:
    def change(own: dict[str, torch.Tensor]) -> None:
        own[first(own)] = own[first(own)].to(dtype)
        own[first(own)].view(-1)[0] = value

    return change


def sealed(change: Change) -> Change:
    """A change in ``last/`` whose digests are made to fit, as an attacker would."""

    def changed(run: Path) -> None:
        change(run)
        path = run / "last" / "state.json"
        state = json.loads(path.read_text())
        for name in state["sha256"]:
            state["sha256"][name] = hashlib.sha256((run / "last" / name).read_bytes()).hexdigest()
        path.write_text(json.dumps(state))

    return changed


CRAFTED = {
    "$type": "bioseg.training.run:_write_last",
    "folder": {"$type": "bioseg.inference.shipped:find", "model": "."},
    "parts": {"/tmp/bioseg-crafted": "text"},
    "state": {},
}
RECORD, SUMMARY, CHOSEN, QUALITY, SCORES = (
    "record.json", "summary.json", "postprocess.json", "quality_model.json", "scores.csv",
)  # fmt: skip
WEIGHTS, JOURNAL, STATE = "best.safetensors", "journal.jsonl", "last/state.json"

VARIANTS: dict[str, tuple[Change, str]] = {
    # The record
    "crafted call while decoding": (put(RECORD, "recipe", "purpose", CRAFTED), "recipe.purpose.folder: names"),
    "crafted type": (put(RECORD, "recipe", "purpose", {"$type": "os:system"}), "recipe.purpose: names 'os:system'"),
    "call of os": (put(RECORD, "recipe", "network", {"$call": "os:system", "command": "true"}), "recipe.network: names"),
    "call of a writer": (put(RECORD, "recipe", "layout", {"$call": "bioseg.files:write"}), "recipe.layout: names"),
    "call of a private one": (put(RECORD, "recipe", "split", {"$call": "bioseg.datasets.splits:_sorted"}), "recipe.split"),
    "call of an import": (put(RECORD, "recipe", "split", {"$call": "bioseg.datasets.splits:train_test_split"}), "recipe.split"),
    "class for a call": (put(RECORD, "recipe", "network", {"$call": "bioseg.models.unet:UNet"}), "recipe.network"),
    "record empty": (text(RECORD, ""), "record.json"),
    "record not JSON": (text(RECORD, "{'a': 1}"), "record.json"),
    "record not UTF-8": (text(RECORD, b"\xff\xfe{}"), "record.json: is not UTF-8"),
    "record a list": (text(RECORD, "[1, 2]"), "record.json"),
    "record of depth 100,000": (text(RECORD, "[" * 100_000), "record.json: not readable (nested"),
    "objects of depth 100,000": (text(RECORD, '{"a":' * 100_000), "record.json: not readable (nested"),
    "record of depth 500": (put(RECORD, "recipe", "purpose", json.loads("[" * 500 + "]" * 500)), "nested more than"),
    "record a pipe": (special(RECORD), "record.json: not a file"),
    "record a folder": (folder(RECORD), "record.json: not a file"),
    "record missing": (lambda run: (run / RECORD).unlink(), "record.json: not there"),
    "name twice": (swap(RECORD, '"format":', '"format": 2, "format":'), "'format' stands there twice"),
    "NaN in the record": (swap(RECORD, '"threshold": 0.1', '"threshold": NaN'), "NaN is not a number"),
    "Infinity in the record": (swap(RECORD, '"learning_rate": 0.001', '"learning_rate": Infinity'), "Infinity is not"),
    "1e400 in the record": (swap(RECORD, '"learning_rate": 0.001', '"learning_rate": 1e400'), "1e400 is too large"),
    "5,000 digits": (swap(RECORD, '"learning_rate": 0.001', '"learning_rate": ' + "9" * 5000), "record.json: not readable"),
    "400 digits": (swap(RECORD, '"learning_rate": 0.001', '"learning_rate": ' + "9" * 400), "training.learning_rate"),
    "no format": (drop(RECORD, "format"), "record.json: format null"),
    "format of tomorrow": (put(RECORD, "format", 99), "record.json: format 99"),
    "format true": (put(RECORD, "format", True), "record.json: format True"),
    "format text": (put(RECORD, "format", "2"), "record.json: format '2'"),
    "no recipe": (drop(RECORD, "recipe"), "record.json: no field 'recipe'"),
    "recipe a text": (put(RECORD, "recipe", "nuclei"), "record.json: no field 'recipe'"),
    "recipe of another type": (
        put(RECORD, "recipe", {"$type": "bioseg.postprocess.boxes:Boxes"}), "recipe: is a Boxes; expected a recipe",
    ),
    "recipe lacks a field": (drop(RECORD, "recipe", "training"), "SegmentationRecipe lacks training"),
    "recipe with an unknown field": (put(RECORD, "recipe", "nonsense", 1), "has no nonsense"),
    "no name": (drop(RECORD, "name"), "record.json: no field 'name'"),
    "no fingerprint": (drop(RECORD, "fingerprint"), "record.json: no field 'fingerprint'"),
    "folds a text": (put(RECORD, "folds", "5"), "record.json: folds: '5'; give a whole number"),
    "folds negative": (put(RECORD, "folds", -1), "record.json: folds: -1; give from 0 to 1000"),
    "folds a million": (put(RECORD, "folds", 1_000_000), "record.json: folds: 1000000"),
    "folds that are not there": (put(RECORD, "folds", 3), "fold-0/best.safetensors: not there"),
    "parts a list": (put(RECORD, "parts", ["a"]), "record.json: parts"),
    "parts with numbers": (put(RECORD, "parts", {"train": [1, 2]}), "record.json: parts"),
    "part a text": (put(RECORD, "parts", "train", "abc"), "record.json: parts"),
    "images a list": (put(RECORD, "images", []), "record.json: images: []; give an object"),
    "images with numbers": (put(RECORD, "images", {"a": 1}), "record.json: images"),
    "hashes of no part": (put(RECORD, "image_hashes", {"a": "test"}), "record.json: image_hashes"),
    "reasons a text": (put(RECORD, "reasons", "none"), "record.json: reasons"),
    "versions a text": (put(RECORD, "versions", "1"), "record.json: versions"),
    "started a number": (put(RECORD, "started", 5), "record.json: started"),
    "a digest of other weights": (put(RECORD, "weights_sha256", "0" * 64), "best.safetensors: SHA-256"),
    "code of the author's": (
        put(RECORD, "code", {"evil": {"sha256": "0", "from": "copy"}}), "give --allow-code if you trust it",
    ),
    "code a list": (put(RECORD, "code", ["evil"]), "record.json: code"),
    "size of a million": (put(RECORD, "recipe", "preparation", "size_px", [10**6, 10**6]), "preparation.size_px: (1000000"),
    "size 0": (put(RECORD, "recipe", "preparation", "size_px", [0, 32]), "preparation.size_px"),
    "size a number": (put(RECORD, "recipe", "preparation", "size_px", 32), "preparation.size_px: 32; give 2 values"),
    "size of halves": (put(RECORD, "recipe", "preparation", "size_px", [32.5, 32]), "preparation.size_px"),
    "2 channels": (put(RECORD, "recipe", "preparation", "channels", 2), "preparation.channels: 2; choose 1, 3"),
    "threshold 7": (put(RECORD, "recipe", "postprocess", "threshold", 7), "postprocess.threshold: 7"),
    "targets without foreground": (put(RECORD, "recipe", "preparation", "targets", ["marker"]), "preparation.targets"),
    "epochs a text": (put(RECORD, "recipe", "training", "epochs", "many"), "training.epochs: 'many'"),
    "excess argument": (put(RECORD, "recipe", "network", "nothing", 3), "no argument 'nothing'"),
    "argument of another type": (put(RECORD, "recipe", "network", "in_channels", "x"), "ct_unet.in_channels"),
    "network of a million channels": (put(RECORD, "recipe", "network", "in_channels", 10**6), "ct_unet.in_channels"),
    "network of the widest kind": (
        put(RECORD, "recipe", "network", {"$call": "bioseg.models.pretrained_unet:pretrained_unet", "widths": [2048] * 5}),
        "weights of another network",
    ),
    "network a loss": (put(RECORD, "recipe", "network", {"$call": "bioseg.training.losses:soft_dice"}), "network: soft_dice"),
    "split a layout": (put(RECORD, "recipe", "split", {"$call": "bioseg.datasets.folders:list_cases"}), "split: list_cases"),
    "split without its argument": (drop(RECORD, "recipe", "split", "parts"), "split: ordered; called with 1 values"),
    "window without its argument": (
        put(RECORD, "recipe", "preparation", "intensity", [{"$call": "bioseg.images.prepare:fixed_window"}]), "'low'",
    ),
    "window a list of numbers": (put(RECORD, "recipe", "preparation", "intensity", [1]), "preparation.intensity"),
    "scores a network": (
        put(RECORD, "recipe", "reference_scores", {"$function": "bioseg.models.unet:ct_unet"}), "reference_scores",
    ),
    "boxes without a fit": (
        put(RECORD, "recipe", "postprocess", "instances", {"$type": "bioseg.postprocess.instances:Instances"}), "needs markers",
    ),
    # Files beside it
    "postprocess empty": (text(CHOSEN, ""), "postprocess.json"),
    "postprocess a number": (text(CHOSEN, "5"), "postprocess.json: holds a int"),
    "postprocess another type": (put(CHOSEN, {"$type": "bioseg.postprocess.boxes:Boxes"}), "postprocess.json: holds a Boxes"),
    "postprocess out of range": (put(CHOSEN, "threshold", 7), "postprocess.json: postprocess.threshold: 7"),
    "postprocess with a network": (put(CHOSEN, "threshold", {"$call": "bioseg.models.unet:ct_unet"}), "postprocess.threshold"),
    "postprocess needs a marker": (
        put(CHOSEN, "instances", {"$type": "bioseg.postprocess.instances:Instances"}), "needs markers",
    ),
    "postprocess a pipe": (special(CHOSEN), "postprocess.json: not a file"),
    "quality a list": (text(QUALITY, "[]"), "quality_model.json: holds a tuple"),
    "quality without limits": (drop(QUALITY, "limits"), "quality_model.json: QualityModel lacks limits"),
    "quality with short limits": (put(QUALITY, "limits", [1.0]), "quality_model.json: limits: 1 values for 5"),
    "quality with short weights": (put(QUALITY, "dice", "weights", [1.0]), "quality_model.json.dice: weights: 1 values"),
    "quality with raising weights": (put(QUALITY, "dice", "weights", [-1.0] * 5), "quality_model.json.dice: weights"),
    "quality with a short scale": (put(QUALITY, "shapes", "scale", [1.0]), "quality_model.json.shapes: scale, axes"),
    "quality with a zero scale": (put(QUALITY, "shapes", "scale", 0, 0), "quality_model.json.shapes: scale"),
    "quality with a short axis": (put(QUALITY, "shapes", "axes", 0, [1.0]), "quality_model.json.shapes: scale, axes"),
    "quality with a short spread": (put(QUALITY, "shapes", "spread", [1.0]), "quality_model.json.shapes: spread"),
    "quality with a zero spread": (put(QUALITY, "shapes", "spread", 0, 0.0), "quality_model.json.shapes: spread"),
    "quality of another network": (
        put(QUALITY, "images", {"$type": "bioseg.quality.model:Distribution", "mean": [0.0], "scale": [1.0], "axes": [],
                                "spread": [], "rest": 1.0}), "quality model: 0 features, it was fitted on 1",
    ),
    "quality NaN": (swap(QUALITY, '"rest": ', '"rest": NaN, "old": '), "quality_model.json: not readable (NaN"),
    "quality with texts": (put(QUALITY, "shapes", "mean", ["a"] * 13), "quality_model.json.shapes: mean"),
    "quality that flags all": (put(QUALITY, "flag_below", 2), "quality_model.json: flag_below: 2; give from 0 to 1"),
    # Weights
    "weights missing": (lambda run: (run / WEIGHTS).unlink(), "best.safetensors: not there"),
    "weights empty": (text(WEIGHTS, b""), "best.safetensors: damaged"),
    "weights a pickle": (text(WEIGHTS, b"\x80\x04cos\nsystem\n"), "best.safetensors: damaged"),
    "weights truncated": (cut(WEIGHTS, 1000), "best.safetensors: damaged"),
    "weights with a huge header": (text(WEIGHTS, b"\xff" * 8 + b"{}"), "best.safetensors: damaged"),
    "weights a pipe": (special(WEIGHTS), "best.safetensors: not a file"),
    "weights NaN": (tensors(WEIGHTS, poison(float("nan"))), "holds values that are not finite"),
    "weights infinite in half precision": (tensors(WEIGHTS, poison(float("inf"), torch.float16)), "not finite"),
    "weights too large for float32": (tensors(WEIGHTS, poison(1e300, torch.float64)), "not finite"),
    "weights of another shape": (tensors(WEIGHTS, lambda own: own.update({first(own): torch.zeros(3)})), "another network"),
    "weights of whole numbers": (
        tensors(WEIGHTS, lambda own: own.update({first(own): own[first(own)].int()})), "weights of another network",
    ),
    "a tensor too many": (tensors(WEIGHTS, lambda own: own.update(extra=torch.zeros(3))), "first extra"),
    "a tensor too few": (tensors(WEIGHTS, lambda own: own.pop(first(own), None)), "weights of another network"),
    # What the report and the comparison read
    "summary empty": (text(SUMMARY, ""), "summary.json: not readable"),
    "summary a list": (text(SUMMARY, "[]"), "summary.json: holds []"),
    "summary without cases": (drop(SUMMARY, "cases"), "summary.json: cases: null"),
    "summary with a text": (put(SUMMARY, "cases", "10"), "summary.json: cases: '10'"),
    "Dice a number": (put(SUMMARY, "dice", 5), "summary.json: dice: 5"),
    "IoU a number": (put(SUMMARY, "iou", 0.5), "summary.json: iou: 0.5"),
    "Dice without an interval": (drop(SUMMARY, "dice", "ci95"), "summary.json: dice: no ci95"),
    "interval of one": (put(SUMMARY, "dice", "ci95", [0.5]), "summary.json: dice.ci95: [0.5]"),
    "interval half null": (put(SUMMARY, "dice", "ci95", [0.5, None]), "summary.json: dice.ci95"),
    "mean a text": (put(SUMMARY, "dice", "mean", "high"), "summary.json: dice.mean: 'high'"),
    "median null": (put(SUMMARY, "dice", "median", None), "summary.json: dice: some of"),
    "mean infinite": (swap(SUMMARY, '"mean": ', '"mean": 1e999, "m": '), "summary.json: not readable (1e999"),
    "another score broken": (put(SUMMARY, "accuracy", "undefined", "x"), "summary.json: accuracy.undefined"),
    "time a text": (put(SUMMARY, "prediction_ms", "fast"), "summary.json: prediction_ms"),
    "seen a number": (put(SUMMARY, "seen", 4), "summary.json: seen"),
    "summary of the test set": (text("test/summary.json", "{"), "test/summary.json: not readable"),
    "scores empty": (text(SCORES, ""), "scores.csv: a table without cases"),
    "scores without rows": (text(SCORES, "case,patient,source,dice\n"), "scores.csv: a table without cases"),
    "scores without a case": (text(SCORES, "id,patient,source,dice\na,b,c,1\n"), "scores.csv: no column 'case'"),
    "scores with a text": (text(SCORES, "case,patient,source,dice\na,b,c,good\n"), "scores.csv: line 2: dice: 'good'"),
    "scores NaN": (text(SCORES, "case,patient,source,dice\na,b,c,nan\n"), "scores.csv: line 2: dice: 'nan'"),
    "scores infinite": (text(SCORES, "case,patient,source,dice\na,b,c,1e999\n"), "scores.csv: line 2: dice: '1e999'"),
    "scores with a short line": (text(SCORES, "case,patient,source,dice\na,b,c\n"), "scores.csv: line 2 has another number"),
    "scores with a long line": (text(SCORES, "case,patient,source,dice\na,b,c,1,2\n"), "scores.csv: line 2 has another number"),
    "a case twice": (text(SCORES, "case,patient,source,dice\na,b,c,1\na,b,c,1\n"), "line 3: case 'a' stands there twice"),
    "a column twice": (text(SCORES, "case,patient,source,dice,dice\na,b,c,1,1\n"), "two columns called 'dice'"),
    "scores not UTF-8": (text(SCORES, b"case,patient,source,dice\n\xe9,b,c,1\n"), "scores.csv: is not UTF-8"),
    "scores with a zero byte": (text(SCORES, b"case,patient,source,dice\na\0,\"b,c,1\n"), "scores.csv"),
    "quality without flags": (text(SCORES, "case,patient,source,dice,quality\na,b,c,1,1\n"), "none called flagged"),
    "scores without Dice": (text(SCORES, "case,patient,source,iou\na,b,c,1\n"), "scores.csv: no column 'dice'"),
    "scores a pipe": (special(SCORES), "scores.csv: not a file"),
    "journal not JSON": (text(JOURNAL, "epoch 1\n"), "journal.jsonl: line 1 is not JSON"),
    "journal cut": (cut(JOURNAL, 20), "journal.jsonl: line 1 is not JSON"),
    "journal of lists": (text(JOURNAL, "[1]\n"), "journal.jsonl: epoch 1: [1]"),
    "journal of depth 100,000": (text(JOURNAL, "[" * 100_000), "journal.jsonl: line 1 is not JSON (nested"),
    "journal that begins late": (swap(JOURNAL, '"epoch": 1', '"epoch": 7'), "journal.jsonl: epoch 1"),
    "journal with a text": (swap(JOURNAL, '"loss": ', '"loss": "low", "l": '), "journal.jsonl: epoch 1: loss: 'low'"),
    "journal with null": (swap(JOURNAL, '"loss": ', '"loss": null, "l": '), "journal.jsonl: epoch 1: loss: null"),
    "journal without losses": (swap(JOURNAL, '"validation_loss"', '"other"'), "journal.jsonl: no 'validation_loss'"),
    "journal with a line more": (
        lambda run: (run / JOURNAL).write_text((run / JOURNAL).read_text() + '{"epoch": 2, "best": true}\n'),
        "journal.jsonl: epoch 2: has epoch, best, unlike epoch 1",
    ),
    "journal a pipe": (special(JOURNAL), "journal.jsonl: not a file"),
    "a figure that is a pipe": (
        lambda run: [(run / "figures").mkdir(), os.mkfifo(run / "figures" / "curves.png")], "curves.png: not a file",
    ),
}  # fmt: skip

RESUMED: dict[str, tuple[Change, str]] = {
    "state not JSON": (text(STATE, "{"), "last/state.json: not readable"),
    "state a list": (text(STATE, "[]"), "last/state.json: no field 'sha256'"),
    "state of depth 100,000": (text(STATE, "[" * 100_000), "last/state.json: not readable (nested"),
    "state without digests": (drop(STATE, "sha256"), "last/state.json: no field 'sha256'"),
    "digest of another file": (put(STATE, "sha256", "network.safetensors", "0"), "SHA-256 is not the one"),
    "history a text": (put(STATE, "history", "x"), "last/state.json: history: holds 'x'"),
    "history of numbers": (put(STATE, "history", [1]), "last/state.json: history: epoch 1: 1"),
    "history with a text": (put(STATE, "history", 0, "validation_loss", "x"), "history: epoch 1: validation_loss: 'x'"),
    "history that begins late": (put(STATE, "history", 0, "epoch", 2), "last/state.json: history: epoch 1"),
    "state a pipe": (special(STATE), "last/state.json: not a file"),
    "network cut": (cut("last/network.safetensors", 10), "network.safetensors: SHA-256"),
    "network NaN, sealed": (sealed(tensors("last/network.safetensors", poison(float("nan")))), "not finite"),
    "network cut, sealed": (sealed(cut("last/network.safetensors", 10)), "network.safetensors: damaged"),
    "network of another shape, sealed": (
        sealed(tensors("last/network.safetensors", lambda own: own.update({first(own): torch.zeros(3)}))), "another network",
    ),
    "optimiser NaN, sealed": (sealed(tensors("last/optimiser.safetensors", poison(float("nan")))), "or is not finite"),
    "optimiser of another shape, sealed": (
        sealed(tensors("last/optimiser.safetensors", lambda own: own.update({"0.exp_avg": torch.zeros(3)}))), "0.exp_avg",
    ),
    "optimiser of another network, sealed": (
        sealed(tensors("last/optimiser.safetensors", lambda own: own.update({"999.exp_avg": torch.zeros(3)}))), "999.exp_avg",
    ),
    "optimiser of words, sealed": (
        sealed(tensors("last/optimiser.safetensors", lambda own: own.update({"x.y": torch.zeros(3)}))), "x.y",
    ),
    "record of another split": (put(RECORD, "split", "0"), "was made with split 0"),
    "record of another recipe": (put(RECORD, "fingerprint", "0"), "was made with fingerprint 0"),
    "record with parts of numbers": (put(RECORD, "parts", {"train": [1]}), "record.json: parts"),
}  # fmt: skip


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
    assert not Path("/tmp/bioseg-crafted").exists()


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
    {"$call": "bioseg.files:write", "path": "/tmp/bioseg-crafted", "data": "x"}, ["a", "b"], "\ud7ff", "x" * 10_000,
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


@pytest.mark.slow
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
