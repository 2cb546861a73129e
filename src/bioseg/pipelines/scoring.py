"""Score a model on cases: ``scores.csv``, ``summary.json`` and figures, in a folder."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bioseg import files
from bioseg.classes import class_of_objects
from bioseg.datasets import cases as reading
from bioseg.datasets import targets
from bioseg.evaluation import detection, instances, summary
from bioseg.evaluation.by_class import class_instance_scores, class_scores, confusion_counts
from bioseg.images import channels, prepare
from bioseg.inference.predictor import Predictor
from bioseg.pipelines.stream import Predicted, stream
from bioseg.postprocess.boxes import Boxes, find_boxes
from bioseg.postprocess.masks import Prediction
from bioseg.reports import class_figures, figures, object_figures, trust
from bioseg.types import BiosegError, Box, Case, ImageArray, Mask, Problem, Progress


@dataclass(frozen=True, eq=False)
class PredictedCase:
    """One case with its prediction, on the grid it is evaluated on.

    Attributes:
        case: Which.
        image: [rows, cols] or [rows, cols, 3] in [0, 1].
        truth: [rows, cols].
        classes: Ground truth of each class, [K, rows, cols].
        found: The prediction.
        spacing_mm: Of that grid; None if unknown.
        seconds: From the read image to the finished prediction.
    """

    case: Case
    image: ImageArray
    truth: Mask
    classes: Mask
    found: Prediction
    spacing_mm: tuple[float, float] | None
    seconds: float


def predict_cases(
    predictor_of: Callable[[Case], Predictor], cases: Sequence[Case]
) -> Iterator[tuple[Case, PredictedCase | Problem]]:
    """Predict cases and read their ground truth, those of one predictor after those of another."""
    groups: dict[int, list[Case]] = {}
    for case in cases:
        groups.setdefault(id(predictor_of(case)), []).append(case)
    for group in groups.values():
        predictor = predictor_of(group[0])
        prepared_grid = predictor.recipe.evaluated_on == "prepared"
        then = partial(_with_truth, predictor=predictor, prepared_grid=prepared_grid)
        yield from zip(group, stream(predictor, group, then, on_prepared_grid=prepared_grid), strict=True)


def _with_truth(found: Predicted, *, predictor: Predictor, prepared_grid: bool) -> PredictedCase:
    prepared, how = found.prepared, predictor.recipe.preparation
    case, raw_image = prepared.case, prepared.raw_image
    if prepared_grid:
        classes = targets.draw(case, prepared.placement, how)[: len(how.classes.names)]
        shown = channels.to_show(prepared.image[0] if len(prepared.image) == 1 else prepared.image.transpose(1, 2, 0))
        truth = np.asarray(classes.any(axis=0))
        return PredictedCase(case, shown, truth, classes, found.prediction, None, found.seconds)
    classes = reading.read_classes(case, raw_image.pixels.shape[:2], how.classes)
    image = channels.to_show(prepare.to_unit(raw_image, how))
    truth = np.asarray(classes.any(axis=0))
    return PredictedCase(case, image, truth, classes, found.prediction, raw_image.spacing_mm, found.seconds)


def evaluate_cases(
    predictor_of: Callable[[Case], Predictor],
    cases: Sequence[Case],
    out: Path,
    *,
    about: dict[str, Any] | None = None,
    progress: Progress = lambda done, total: None,
) -> tuple[dict[str, Any], list[Problem]]:
    """Score every case and write ``scores.csv``, ``summary.json`` and ``figures/``.

    Where there are several exclusive classes, ``confusion.csv`` counts the pixels of all cases by true and predicted class.

    Args:
        predictor_of: The model to use for a case; in cross-validation the fold that was not trained on it.
        cases: With ground truth.
        out: Folder to write to.
        about: What else the summary says.
        progress: Told (done, total).

    Returns:
        The summary, and the cases that could not be evaluated.

    Raises:
        BiosegError: None of the cases could be evaluated.
    """
    scored: dict[str, summary.Row] = {}
    problems, seconds = [], []
    counts: NDArray[np.int64] | None = None
    for done, (case, found) in enumerate(predict_cases(predictor_of, cases), 1):
        if isinstance(found, Problem):
            problems.append(found)
        else:
            predictor = predictor_of(case)
            scored[case.id] = _row(found, predictor)
            if (classes := predictor.recipe.preparation.classes).several and classes.exclusive:
                own = confusion_counts({name: one.mask for name, one in found.found.classes.items()}, found.classes)
                counts = own if counts is None else counts + own
            seconds.append(found.seconds)
        progress(done, len(cases))
    rows = [scored[case.id] for case in cases if case.id in scored]
    if not rows:
        raise BiosegError(f"{out}: none of {len(cases)} cases could be evaluated; the first: {problems[0].reason}")
    summary.write_csv(rows, out / "scores.csv")
    result = summary.summarise(rows) | {"prediction_ms": 1000 * float(np.median(seconds))} | (about or {})
    files.write_json(out / "summary.json", result)
    if counts is not None:
        names = ("background", *predictor_of(cases[0]).recipe.preparation.classes.names)
        lines = [(name, *line) for name, line in zip(names, counts.tolist(), strict=True)]
        files.write_csv(out / "confusion.csv", ("true \\ predicted", *names), lines)
    _draw(rows, {case.id: case for case in cases}, predictor_of, out / "figures", counts)
    return result, problems


def true_boxes(case: Case, truth: Mask) -> tuple[Box, ...]:
    """The case's own boxes, or those around the parts of its mask."""
    return find_boxes(truth, truth.astype(np.float32), Boxes()) if case.boxes is None else case.boxes


def _row(seen: PredictedCase, predictor: Predictor) -> summary.Row:
    found = seen.found
    how = predictor.recipe.preparation
    masks = {name: one.mask for name, one in found.classes.items()}
    scores = class_scores(masks, seen.classes, spacing_mm=seen.spacing_mm)
    if found.labels is not None:
        labels = reading.read_labels(seen.case, seen.truth.shape, how.classes)
        scores |= instances.instance_scores(found.labels, labels)
        if how.classes.several:
            own = class_of_objects(found.labels, np.stack(list(masks.values())))
            true = class_of_objects(labels, seen.classes)
            scores |= class_instance_scores(found.labels, labels, own, true, how.classes.names)
    if found.boxes is not None:
        scores["rsna_score"] = detection.image_score(found.boxes, true_boxes(seen.case, seen.truth))
    if found.quality is not None:
        scores |= {"quality": found.quality.score, "flagged": float(found.quality.flagged)}
    if predictor.recipe.reference_scores:
        scores |= predictor.recipe.reference_scores(found.probability, found.mask, seen.truth)
    return summary.Row(seen.case.id, seen.case.group, seen.case.source, scores)


def _draw(
    rows: Sequence[summary.Row], cases: dict[str, Case], predictor_of: Callable[[Case], Predictor], folder: Path,
    counts: NDArray[np.int64] | None,
) -> None:  # fmt: skip
    """Figures of the cases chosen by their Dice; the few that are shown are predicted again."""

    def shown(chosen: Iterable[summary.Row]) -> list[figures.Shown]:
        chosen = list(chosen)
        again = dict(predict_cases(predictor_of, list({row.case: cases[row.case] for row in chosen}.values())))
        seen = [(row, one) for row in chosen if isinstance(one := again[cases[row.case]], PredictedCase)]
        return [
            figures.Shown(
                row.case, one.image, one.truth, one.found.mask, row.scores["dice"], one.found.labels,
                None if one.found.boxes is None else (one.found.boxes, true_boxes(one.case, one.truth)),
                _shown_classes(one),
            )
            for row, one in seen
        ]  # fmt: skip

    defined = [row for row in rows if not math.isnan(row.scores["dice"])]  # rightly empty images say little
    ranked = sorted(defined or rows, key=lambda row: row.scores["dice"])
    middle = np.random.default_rng(0).permutation(len(rows))
    some = shown(rows[index] for index in middle[:6])
    worst = shown(ranked[:6])
    recipe = predictor_of(cases[rows[0].case]).recipe
    how, classes = recipe.postprocess, recipe.preparation.classes
    draw = class_figures if classes.several else figures
    figures.save(draw.rows(shown(_of_each_band(rows))), folder / "rows.png")
    figures.save(figures.confusion_overlay(some), folder / "confusion.png")
    figures.save(draw.overlays(some), folder / "overlays.png")
    figures.save(draw.overlays(worst), folder / "worst.png")
    if how.instances:
        figures.save(object_figures.objects(some[:4]), folder / "objects.png")
    if how.boxes:
        figures.save(object_figures.boxes(shown(rows[index] for index in middle[:32])), folder / "boxes.png")
    trio = [ranked[-1], ranked[len(ranked) // 2], ranked[0]]
    figures.save(draw.best_median_worst(shown(trio)), folder / "best-median-worst.png")
    figures.save(figures.distribution(rows), folder / "distribution.png")
    if classes.several:
        by_class = figures.distribution(rows, [f"dice:{name}" for name in classes.names])
        figures.save(by_class, folder / "classes.png")
    if trust.evaluated(rows):
        figures.save(trust.rejection(rows), folder / "trust.png")
    shares = {cell: float(np.mean([row.scores[f"share_{cell}"] for row in rows])) for cell in ("tp", "fp", "fn", "tn")}
    whole = figures.confusion_matrix(shares)
    if counts is not None:
        whole = class_figures.confusion_matrix(("background", *classes.names), counts)
    figures.save(whole, folder / "confusion-matrix.png")


def _shown_classes(one: PredictedCase) -> list[tuple[str, Mask, Mask]]:
    """Name, ground truth and prediction of each of several classes."""
    if len(one.classes) < 2:
        return []
    return [(name, own, found.mask) for (name, found), own in zip(one.found.classes.items(), one.classes, strict=True)]


def _of_each_band(rows: Sequence[summary.Row], count: int = 4) -> list[summary.Row]:
    """One case of each IoU band that has any, .85 to .9, .9 to .95, .95 to 1, and others by lot up to ``count``."""
    lot = [rows[index] for index in np.random.default_rng(1).permutation(len(rows))]
    bands = ((0.85, 0.9), (0.9, 0.95), (0.95, 1.01))
    chosen = [next((row for row in lot if low <= row.scores["iou"] < high), None) for low, high in bands]
    first = [row for row in chosen if row is not None]
    return [*first, *(row for row in lot if row not in first)][:count]
