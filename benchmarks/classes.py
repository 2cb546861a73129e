"""Two exclusive classes from one network, against one network a class: cavity and myocardium of the left ventricle.

Trains ``cardiac-myocardium`` in folds by patient, then the same recipe for the cavity alone and for everything within the
outer contour alone, whose difference is the myocardium. What is finished already is not trained again.

    python -m benchmarks.classes sunnybrook out [--without SC-HF-I-6]
"""

import argparse
import shutil
from pathlib import Path

import numpy as np

import bioseg
from bioseg.datasets import cases as reading
from bioseg.datasets.layouts.cardiac_lv import list_cavity_and_myocardium
from bioseg.evaluation.overlap import confusion, dice
from bioseg.evaluation.summary import Row, compare, summarise
from bioseg.recipes import cardiac_myocardium
from bioseg.record import read_record
from bioseg.types import Case, Mask

CLASSES = cardiac_myocardium.RECIPE.preparation.classes
ALONE = ("network.outputs=1", "training.loss=cross_entropy_and_dice")
MODELS = {
    "classes": (),
    "cavity": ('preparation.classes.names=["LV cavity"]', *ALONE),
    "outer": ('preparation.classes.names=["myocardium"]', *ALONE),
}


def main() -> None:
    """Train what is missing, then print Dice of both classes and the paired differences."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--without", default="", help="a patient to leave out")
    arguments = parser.parse_args()
    data = _copied(arguments.data, arguments.out / "data", arguments.without)
    cases = list_cavity_and_myocardium(data)
    folds = len({case.patient for case in cases})
    for name, settings in MODELS.items():
        if not (arguments.out / name / "summary.json").exists():
            bioseg.train("cardiac-myocardium", data, arguments.out / name, folds=folds, settings=settings)
    both, apart = _rows(cases, arguments.out, folds)
    for title, rows in (("two exclusive classes", both), ("two binary models", apart)):
        found = summarise(rows)
        for score in ("cavity", "myocardium"):
            one = found[score]
            print(
                f"{title:<22} {score:<11} {one['mean']:.4f} ± {one['sd']:.4f}  {_interval(one['ci95'])}  n {len(rows)}"
            )
    for score in ("cavity", "myocardium"):
        change = compare(apart, both, score=score)
        print(f"classes − binary {score:<11} {change['difference']:+.4f}  {_interval(change['ci95'])}")


def _copied(data: Path, out: Path, without: str) -> Path:
    """The data set without one patient."""
    if not out.exists():
        shutil.copytree(data, out, ignore=shutil.ignore_patterns(without) if without else None)
    return out


def _rows(cases: list[Case], out: Path, folds: int) -> tuple[list[Row], list[Row]]:
    known = {case.id: case for case in cases}
    both, apart = [], []
    for fold in range(folds):
        models = {name: bioseg.load(out / name / f"fold-{fold}") for name in MODELS}
        for case_id in read_record(out / "classes" / f"fold-{fold}")["parts"]["validation"]:
            case = known[case_id]
            shape = reading.read_image(case).pixels.shape[:2]
            found = {name: model.predict(case.path) for name, model in models.items()}
            truth = reading.read_classes(case, shape, CLASSES)
            classes = [one.mask for one in found["classes"].classes.values()]
            both.append(_row(case, classes, truth))
            apart.append(_row(case, [found["cavity"].mask, found["outer"].mask & ~found["cavity"].mask], truth))
    return both, apart


def _row(case: Case, masks: list[Mask], truth: Mask) -> Row:
    scores = [dice(confusion(mask, own)) for mask, own in zip(masks, truth, strict=True)]
    return Row(case.id, case.group, case.source, dict(zip(("cavity", "myocardium"), scores, strict=True)))


def _interval(bounds: list[float]) -> str:
    return f"({bounds[0]:+.4f} … {bounds[1]:+.4f})" if np.isfinite(bounds).all() else ""


if __name__ == "__main__":
    main()
