"""Who chooses for whom: a fold never gets a setting that its own cases helped to choose."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bioseg import recipes
from bioseg.pipelines import train
from bioseg.postprocess.choose import Example
from bioseg.postprocess.masks import Postprocess
from bioseg.specs import call
from bioseg.types import Case


def mean_of(examples: list[Example], how: Postprocess) -> Postprocess:
    return replace(how, threshold=float(np.mean([example.labels.mean() for example in examples])))


@pytest.mark.parametrize("folds", [1, 3])
def test_a_fold_gets_what_the_others_chose(folds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def example(predictor: Any, case: Case, recipe: Any) -> Example:
        return Example({}, np.full((2, 2), int(case.id), np.int32), ())

    monkeypatch.setattr(train, "_example", example)
    recipe = replace(recipes.get("ct-lungs"), choose=call(mean_of))  # type: ignore[type-var]
    folders = [tmp_path / f"fold-{k}" for k in range(folds)] if folds > 1 else [tmp_path]
    held_out = {folder: [Case(str(10 * k + n), "p", Path("x")) for n in range(4)] for k, folder in enumerate(folders)}
    said = train._choose(tmp_path, recipe, dict.fromkeys(folders), held_out, lambda *what: None)  # type: ignore[arg-type]
    numbers = {folder: [int(case.id) for case in cases] for folder, cases in held_out.items()}

    def chosen(folder: Path) -> float:
        return float(json.loads((folder / "postprocess.json").read_text())["threshold"])

    everything = [number for part in numbers.values() for number in part]
    assert chosen(tmp_path) == np.mean(everything)
    assert said == [f"chosen on {len(everything)} held out images: threshold 0.5 → {np.mean(everything)}"]
    for folder in folders if folds > 1 else ():
        assert chosen(folder) == np.mean([n for other, part in numbers.items() if other != folder for n in part])


def test_many_held_out_cases_are_thinned_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def example(predictor: Any, case: Case, recipe: Any) -> Example:
        seen.append(int(case.id))
        return Example({}, np.zeros((2, 2), np.int32), ())

    monkeypatch.setattr(train, "_example", example)
    monkeypatch.setattr(train, "CHOOSE_ON", 10)
    recipe = replace(recipes.get("ct-lungs"), choose=call(mean_of))  # type: ignore[type-var]
    cases = [Case(str(n), "p", Path("x")) for n in range(35)]
    train._choose(tmp_path, recipe, {tmp_path: None}, {tmp_path: cases}, lambda *what: None)  # type: ignore[dict-item]
    assert seen[1:] == list(range(0, 35, 4))  # the first one is looked at for its size
