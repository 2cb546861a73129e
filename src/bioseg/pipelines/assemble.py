"""What follows the training of all folds: choose the postprocessing, fit the quality model, evaluate, report."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bioseg import files
from bioseg import record as records
from bioseg.datasets import cases as reading
from bioseg.datasets.samples import Samples, load
from bioseg.inference.predictor import Predictor
from bioseg.pipelines.known_images import about_base
from bioseg.pipelines.open import fold_folders, open_predictor, open_recipe
from bioseg.pipelines.scoring import evaluate_cases, true_boxes
from bioseg.pipelines.stream import attempt
from bioseg.postprocess.choose import Example
from bioseg.postprocess.masks import Postprocess
from bioseg.quality.fit_applicability import fit_applicability
from bioseg.recipe import SegmentationRecipe
from bioseg.record import differences, encode
from bioseg.reports import figures
from bioseg.reports.page import write_report
from bioseg.reports.run_folder import read_journal
from bioseg.types import SILENT, BiosegError, Callbacks, Case, Problem

CHOOSE_CASES, CHOOSE_BYTES = 200, 800_000_000
"""At most this many validation cases, and bytes of them, evenly spread, are enough to choose thresholds on."""


@dataclass(frozen=True)
class TrainResult:
    """What a training led to.

    Attributes:
        summary: Scores of the validation cases; with folds, each scored by the fold that was not trained on it.
        test: Scores of the test set by the run (all folds together); None where there is none.
        report: The page to read.
        problems: Cases that were left out.
    """

    summary: dict[str, Any]
    test: dict[str, Any] | None
    report: Path
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class _Fold:
    """A trained fold with the cases it knows."""

    folder: Path
    predictor: Predictor
    train: list[Case]
    validation: list[Case]


def assemble(
    out: Path, cases: Sequence[Case], *, samples: Samples | None = None, device: str = "auto",
    callbacks: Callbacks = SILENT, allow_code: bool = False,
) -> TrainResult:  # fmt: skip
    """Make a model of the fitted folds in a run folder: reads what they wrote, and writes all else.

    Args:
        out: Run folder; every fold in it is trained.
        cases: Of the data set it was trained on.
        samples: The training and validation cases where they are prepared already; else they are read here.
        device: Where to compute.
        callbacks: Hears how far it is.
        allow_code: Run the author's own code if the run was made with some.

    Raises:
        BiosegError: A fold is not trained, or no case can be evaluated.
    """
    record, known = records.read_record(out), {case.id: case for case in cases}
    whole = open_predictor(out, device, allow_code=allow_code)
    whole = replace(whole, recipe=_segmentation_recipe(out, allow_code), quality=None)
    folds, problems = _folds(out, record, whole, known, allow_code)
    if samples is None:
        pool = {case.id: case for fold in folds for case in (*fold.train, *fold.validation)}
        samples = load(list(pool.values()), whole.recipe.preparation, progress=callbacks.counter("reading"))
    problems += samples.problems

    if whole.recipe.choose:
        whole, folds, faults = _choose(out, whole, folds, callbacks)
        problems += faults
    if whole.recipe.quality:
        whole, folds = _fit_quality(out, whole, folds, samples, callbacks)

    predictor, parts = folds[0].predictor, (folds[0].train, folds[0].validation)
    files.write_json(out / records.APPLICABILITY, encode(fit_applicability(predictor, *parts)))

    owner = {case.id: fold for fold in folds for case in fold.validation}
    validation = [case for case in cases if case.id in owner]
    seen = about_base((records.read_record(fold.folder), fold.validation) for fold in folds)
    summary, faults = evaluate_cases(
        lambda case: owner[case.id].predictor, validation, out, about=seen, progress=callbacks.counter("evaluating")
    )
    problems += faults
    test, faults = _test(out, record, whole, known, callbacks)
    problems += faults
    _draw(out, folds, samples)
    return TrainResult(summary, test, write_report([out]), list({one.path: one for one in problems}.values()))


def _folds(
    out: Path, record: dict[str, Any], whole: Predictor, known: dict[str, Case], allow_code: bool
) -> tuple[list[_Fold], list[Problem]]:
    """The trained folds, and the cases of their records that are not there any more."""
    folds, missing = [], dict[str, Problem]()
    for index, folder in enumerate(fold_folders(out, record)):
        names = records.read_record(folder).get("parts", {})
        own = replace(whole, backends=(whole.backends[index],))
        if folder != out:
            own = replace(own, recipe=_segmentation_recipe(folder, allow_code))
        train, validation = (
            [known[name] for name in names.get(part, ()) if name in known] for part in ("train", "validation")
        )
        folds.append(_Fold(folder, own, train, validation))
        missing |= _missing(out, names, known)
    return folds, list(missing.values())


def _missing(out: Path, parts: dict[str, list[str]], known: dict[str, Case]) -> dict[str, Problem]:
    return {
        name: Problem(Path(name), f"{name}: is in the {part} part of {out} and not in its data any more; restore it")
        for part, names in parts.items()
        for name in names
        if name not in known
    }


def _test(
    out: Path, record: dict[str, Any], whole: Predictor, known: dict[str, Case], callbacks: Callbacks
) -> tuple[dict[str, Any] | None, list[Problem]]:
    """Scores of the test set; None where there is none, or none of it can be read."""
    cases = [known[name] for name in record.get("parts", {}).get("test", ()) if name in known]
    missing = list(_missing(out, {"test": record.get("parts", {}).get("test", [])}, known).values())
    if not cases:
        return None, missing
    try:
        test, faults = evaluate_cases(
            lambda case: whole,
            cases,
            out / "test",
            about=about_base([(record, cases)]),
            progress=callbacks.counter("testing"),
        )
    except BiosegError as fault:
        return None, [*missing, Problem(out / "test", str(fault))]
    return test, missing + faults


def _segmentation_recipe(folder: Path, allow_code: bool) -> SegmentationRecipe:
    _, recipe = open_recipe(folder, allow_code=allow_code)
    assert isinstance(recipe, SegmentationRecipe)
    return recipe


def _with(predictor: Predictor, postprocess: Postprocess) -> Predictor:
    return replace(predictor, recipe=replace(predictor.recipe, postprocess=postprocess))


def _choose(
    out: Path, whole: Predictor, folds: list[_Fold], callbacks: Callbacks
) -> tuple[Predictor, list[_Fold], list[Problem]]:
    """Choose the postprocessing on validation cases, write it, and say what differs from the recipe's.

    A fold gets what is best on the other folds' cases, so that its own remain fit to evaluate it. Cases that cannot be read
    are left out and returned as problems.
    """
    choose = whole.recipe.choose
    assert choose is not None
    problems: list[Problem] = []
    total = sum(len(fold.validation) for fold in folds)
    first = next(_examples(folds[0], 1, problems), None)
    count = min(total, CHOOSE_CASES, max(1, CHOOSE_BYTES // first.nbytes) if first else total)
    examples: list[list[Example]] = []
    for fold in folds:
        examples.append(list(_examples(fold, -(-total // count), problems)))
        callbacks.progress("choosing", len(examples), len(folds), "thresholds on validation images")
    everything = [example for part in examples for example in part]
    if not everything:
        raise BiosegError(f"{out}: none of {total} validation images can be read; the first: {problems[0].reason}")
    before = whole.recipe.postprocess
    whole = _with(whole, choose(everything, before))
    files.write_json(out / records.POSTPROCESS, encode(whole.recipe.postprocess))
    chosen = []
    for index, fold in enumerate(folds):
        others = [example for k, part in enumerate(examples) if k != index for example in part]
        own = choose(others, fold.predictor.recipe.postprocess) if others else whole.recipe.postprocess
        if fold.folder != out:
            files.write_json(fold.folder / records.POSTPROCESS, encode(own))
        chosen.append(replace(fold, predictor=_with(fold.predictor, own)))
    for line in differences(before, whole.recipe.postprocess):
        callbacks.log(f"chosen on {len(everything)} validation images: {line}")
    return whole, chosen, problems


def _examples(fold: _Fold, every: int, problems: list[Problem]) -> Iterator[Example]:
    """Every ``every``-th validation case of a fold that can be read; the others are added to ``problems``."""
    for case in fold.validation[::every]:
        example = attempt(case.path, partial(_example, fold.predictor, case))
        if isinstance(example, Problem):
            problems.append(example)
        else:
            yield example


def _example(predictor: Predictor, case: Case) -> Example:
    raw_image = reading.read_image(case)
    image, placement = predictor.prepare(raw_image)
    shape, classes = raw_image.pixels.shape[:2], predictor.recipe.preparation.classes
    labels, masks = reading.read_labels(case, shape, classes), reading.read_classes(case, shape, classes)
    outputs = predictor.restored(predictor.outputs(image[None])[0], placement)
    boxes = true_boxes(case, labels > 0) if predictor.recipe.postprocess.boxes else ()
    return Example({name: plane.astype(np.float16) for name, plane in outputs.items()}, labels, boxes, masks, classes)


def _fit_quality(
    out: Path, whole: Predictor, folds: list[_Fold], samples: Samples, callbacks: Callbacks
) -> tuple[Predictor, list[_Fold]]:
    """Fit a quality model for each fold from its own parts, so that its own cases are treated as new ones would be.

    The ensemble's is fitted on the first fold's parts: no image is new to all folds, but those are to the network whose
    features are compared.
    """
    how = whole.recipe.quality
    assert how is not None
    places = {case.id: index for index, case in enumerate(samples.cases)}

    def fitted(predictor: Predictor, fold: _Fold) -> Any:
        train, validation = (
            samples.select([places[case.id] for case in part if case.id in places])
            for part in (fold.train, fold.validation)
        )
        return how(predictor, train, validation)

    counter, total = callbacks.counter("quality"), 1 + (len(folds) if folds[0].folder != out else 0)
    whole = replace(whole, quality=fitted(whole, folds[0]))
    files.write_json(out / records.QUALITY, encode(whole.quality))
    counter(1, total)
    if folds[0].folder == out:
        return whole, [replace(folds[0], predictor=whole)]
    done = []
    for fold in folds:
        quality = fitted(fold.predictor, fold)
        files.write_json(fold.folder / records.QUALITY, encode(quality))
        done.append(replace(fold, predictor=replace(fold.predictor, quality=quality)))
        counter(1 + len(done), total)
    return whole, done


def _draw(out: Path, folds: list[_Fold], samples: Samples) -> None:
    """Learning curves, and a few training images with their masks."""
    journals = [read_journal(fold.folder / "journal.jsonl") for fold in folds]
    figures.save(figures.learning_curves(journals), out / "figures" / "curves.png")
    batch = next(samples.batches(range(min(4, len(samples.cases))), 4))
    shown = batch.images.permute(0, 2, 3, 1).squeeze(-1).numpy()
    masks = list(batch.masks[:, 0].numpy() > 0.5)
    figures.save(figures.pairs(list(shown), masks), out / "figures" / "training.png")
