"""Choosing the postprocessing: a fold never gets a setting that its own cases helped to choose."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bioseg import recipes
from bioseg.inference.predictor import Predictor
from bioseg.pipelines import assemble
from bioseg.postprocess.choose import Example
from bioseg.postprocess.masks import Postprocess
from bioseg.recipe import SegmentationRecipe
from bioseg.specs import call
from bioseg.types import BiosegError, Callbacks, Case


def mean_of(examples: list[Example], how: Postprocess) -> Postprocess:
    return replace(how, threshold=float(np.mean([example.labels.mean() for example in examples])) / 100)


def predictor() -> Predictor:
    recipe = recipes.get("ct-lungs")
    assert isinstance(recipe, SegmentationRecipe)
    return Predictor(replace(recipe, choose=call(mean_of)), ())


def fold(folder: Path, numbers: range) -> assemble._Fold:
    return assemble._Fold(
        folder, predictor(), [], [Case(str(number), "p", Path(f"{number}.png")) for number in numbers]
    )


def example_of(whole: Predictor, case: Case) -> Example:
    return Example({}, np.full((2, 2), int(case.id), np.int32), (), np.ones((1, 2, 2), bool))


@pytest.mark.parametrize("folds", [1, 3])
def test_a_fold_gets_what_the_others_chose(folds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assemble, "_example", example_of)
    folders = [tmp_path / f"fold-{k}" for k in range(folds)] if folds > 1 else [tmp_path]
    parts = [fold(folder, range(10 * k, 10 * k + 4)) for k, folder in enumerate(folders)]
    lines: list[str] = []
    whole, chosen, problems = assemble._choose(tmp_path, predictor(), parts, Callbacks(log=lines.append))
    numbers = {one.folder: [int(case.id) for case in one.validation] for one in parts}

    def written(folder: Path) -> float:
        return float(json.loads((folder / "postprocess.json").read_text())["threshold"])

    everything = [number for part in numbers.values() for number in part]
    threshold = np.mean(everything) / 100
    assert problems == []
    assert written(tmp_path) == whole.recipe.postprocess.threshold == threshold
    assert lines == [f"chosen on {len(everything)} validation images: threshold 0.5 → {threshold}"]
    for one in chosen if folds > 1 else ():
        others = [number for folder, part in numbers.items() if folder != one.folder for number in part]
        assert written(one.folder) == one.predictor.recipe.postprocess.threshold == np.mean(others) / 100


def test_many_validation_cases_are_thinned_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []

    def example(whole: Predictor, case: Case) -> Example:
        used.append(int(case.id))
        return example_of(whole, case)

    monkeypatch.setattr(assemble, "_example", example)
    monkeypatch.setattr(assemble, "CHOOSE_CASES", 10)
    assemble._choose(tmp_path, predictor(), [fold(tmp_path, range(35))], Callbacks())
    assert used[1:] == list(range(0, 35, 4))  # the first one is read for its size


def test_an_unreadable_validation_case_is_left_out_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It once ended a finished training, and every --resume of it."""

    def example(whole: Predictor, case: Case) -> Example:
        if case.id in ("0", "2"):
            raise BiosegError(f"{case.path}: damaged")
        return example_of(whole, case)

    monkeypatch.setattr(assemble, "_example", example)
    whole, _, problems = assemble._choose(tmp_path, predictor(), [fold(tmp_path, range(4))], Callbacks())
    assert whole.recipe.postprocess.threshold == 0.02
    assert {problem.path.name for problem in problems} == {"0.png", "2.png"}
    with pytest.raises(BiosegError, match=r"none of 1 validation images can be read; the first: 0\.png: damaged"):
        assemble._choose(tmp_path, predictor(), [fold(tmp_path, range(1))], Callbacks())
