"""The adaptation study: every variant is evaluated alike, and does what its name says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bioseg.datasets import phantom_layouts
from bioseg.evaluation.summary import Row
from bioseg.inference.predictor import Predictor
from bioseg.pipelines import scoring
from bioseg.pipelines.open import open_predictor
from bioseg.pipelines.train import TrainJob, train
from bioseg.studies import adaptation
from bioseg.studies.adaptation import BASE, TRAININGS, VARIANTS, Variant, evaluate, evaluate_held_out
from bioseg.types import BiosegError, Case

SMALL = ("preparation.size_px=[32,32]", "training.epochs=4", "training.batch_size=2")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folder of a run of the baseline on phantoms, and of the phantoms."""
    folder = tmp_path_factory.mktemp("adaptation")
    phantom_layouts.write_montgomery(folder / "data", count=20, size_px=64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "_draw", lambda *arguments: None)
        train(TrainJob(BASE, folder / "data", folder / "run", folds=2, settings=SMALL))
    return folder / "run", folder / "data"


def test_every_variant_is_the_baseline_with_one_change() -> None:
    assert len(VARIANTS) == len({variant.name for variant in VARIANTS}) == 13
    assert {variant.training for variant in VARIANTS} == set(TRAININGS)
    for variant in VARIANTS[1:-1]:
        changed = {name for name, value in vars(variant).items() if value != getattr(VARIANTS[0], name)}
        assert len(changed - {"name"}) == 1, variant.name
    for name, recipe in TRAININGS.items():
        assert recipe.training == BASE.training and recipe.fold == BASE.fold and recipe.network == BASE.network, name
        assert (recipe == BASE) == (name == "base")


def test_what_is_done_changes_the_scores_and_only_then(run: tuple[Path, Path]) -> None:
    model, data = run
    predictor = open_predictor(model, "cpu")
    split = predictor.recipe.split(predictor.recipe.layout(data))
    plain = evaluate(VARIANTS[0], predictor, split.test)
    assert [row.case for row in plain] == [case.id for case in split.test]
    assert plain == evaluate(VARIANTS[0], predictor, split.test)
    for variant in VARIANTS[1:]:
        if variant.translator:
            continue
        rows = evaluate(variant, predictor, split.test, like=split.train)
        scores = [row.scores["dice"] for row in rows]
        assert 0 <= min(scores) <= max(scores) <= 1
        same = replace(variant, name="none", training="base") == VARIANTS[0]  # the networks are the baseline's here
        assert (scores == [row.scores["dice"] for row in plain]) == same, variant.name


def test_one_by_one_is_the_mean_over_the_networks(run: tuple[Path, Path]) -> None:
    model, data = run
    predictor = open_predictor(model, "cpu")
    cases = predictor.recipe.layout(data)[:5]
    singles = [replace(predictor, backends=(backend,)) for backend in predictor.backends]
    alone = [evaluate(VARIANTS[0], single, cases) for single in singles]
    both = evaluate(VARIANTS[0], predictor, cases)
    for row, first, second in zip(both, *alone, strict=True):
        assert row.scores["dice"] == pytest.approx((first.scores["dice"] + second.scores["dice"]) / 2)


def test_held_out_cases_are_evaluated_by_the_fold_that_was_not_trained_on_them(
    run: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = run
    cases = BASE.layout(data)
    seen: list[tuple[set[str], set[str]]] = []
    real = adaptation.evaluate

    def watched(variant: Variant, predictor: Predictor, held_out: list[Case], *, like: list[Case]) -> list[Row]:
        seen.append(({case.id for case in held_out}, {case.id for case in like}))
        return real(variant, predictor, held_out, like=like)

    monkeypatch.setattr(adaptation, "evaluate", watched)
    rows = evaluate_held_out(VARIANTS[0], model, cases, "cpu")
    assert len(seen) == 2 and all(not held & trained for held, trained in seen)
    assert len({row.case for row in rows}) == len(rows) == len(BASE.split(cases).train)
    assert np.isfinite([row.scores["dice"] for row in rows]).all()


def test_an_unreadable_image_costs_only_itself(run: tuple[Path, Path], tmp_path: Path) -> None:
    model, data = run
    predictor = open_predictor(model, "cpu")
    cases = predictor.recipe.layout(data)[:3]
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"")
    rows = evaluate(VARIANTS[0], predictor, [cases[0], replace(cases[1], image=bad), cases[2]])
    assert [row.case for row in rows] == [cases[0].id, cases[2].id]
    with pytest.raises(BiosegError, match=r"none of 1 images can be read.*bad\.png"):
        evaluate(VARIANTS[0], predictor, [replace(cases[1], image=bad)])
