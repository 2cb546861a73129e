"""The adaptation ladder: every variant is evaluated alike, and does what its name says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bioseg.datasets import phantom_layouts
from bioseg.pipelines.open import open_predictor
from bioseg.pipelines.train import Order, train
from bioseg.studies.adaptation import BASE, TRAININGS, VARIANTS, evaluate, evaluate_held_out

SMALL = ("preparation.size_px=[64,64]", "training.epochs=8", "training.batch_size=2")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folder of a run of the base on phantoms, and of the phantoms."""
    folder = tmp_path_factory.mktemp("ladder")
    phantom_layouts.write_montgomery(folder / "data", count=20, size_px=64)
    order = Order(BASE, folder / "data", folder / "run", folds=2, settings=SMALL)
    train(order, progress=lambda *_: None, log=lambda _: None)
    return folder / "run", folder / "data"


def test_every_rung_is_the_base_and_one_thing_more() -> None:
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
    how = predictor.recipe.preparation
    split = predictor.recipe.split(predictor.recipe.layout(data))
    plain = evaluate(VARIANTS[0], predictor.networks, split.test, how)
    assert [row.case for row in plain] == [case.id for case in split.test]
    assert plain == evaluate(VARIANTS[0], predictor.networks, split.test, how)
    for variant in VARIANTS[1:]:
        if variant.translator:
            continue
        rows = evaluate(variant, predictor.networks, split.test, how, like=split.train)
        scores = [row.scores["dice"] for row in rows]
        assert 0 <= min(scores) <= max(scores) <= 1
        same = replace(variant, name="none", training="base") == VARIANTS[0]  # the networks are the base's here
        assert (scores == [row.scores["dice"] for row in plain]) == same, variant.name


def test_one_by_one_is_the_mean_over_the_networks(run: tuple[Path, Path]) -> None:
    model, data = run
    predictor = open_predictor(model, "cpu")
    cases = predictor.recipe.layout(data)[:5]
    alone = [evaluate(VARIANTS[0], [network], cases, predictor.recipe.preparation) for network in predictor.networks]
    both = evaluate(VARIANTS[0], predictor.networks, cases, predictor.recipe.preparation)
    for row, first, second in zip(both, *alone, strict=True):
        assert row.scores["dice"] == pytest.approx((first.scores["dice"] + second.scores["dice"]) / 2)


def test_held_out_cases_are_judged_by_the_fold_that_has_not_seen_them(
    run: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = run
    cases = BASE.list_cases(data)
    seen: list[tuple[set[str], set[str]]] = []
    real = adaptation.evaluate

    def watched(variant, networks, held_out, how, *, like):
        seen.append(({case.id for case in held_out}, {case.id for case in like}))
        return real(variant, networks, held_out, how, like=like)

    monkeypatch.setattr(ladder, "evaluate", watched)
    rows = evaluate_held_out(VARIANTS[0], model, cases, "cpu")
    assert len(seen) == 2 and all(not held & learned for held, learned in seen)
    assert len({row.case for row in rows}) == len(rows) == len(BASE.split(cases).train)
    assert np.isfinite([row.scores["dice"] for row in rows]).all()
