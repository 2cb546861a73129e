"""Score a model on cases: ``scores.csv``, ``summary.json`` and figures, in a folder."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bioseg import files
from bioseg.data import cases as reading
from bioseg.data import prepare, targets
from bioseg.evaluation import detection, instances, summary
from bioseg.inference.boxes import Boxes, find_boxes
from bioseg.inference.postprocess import Prediction
from bioseg.inference.predictor import Predictor
from bioseg.reports import figures, object_figures, trust
from bioseg.types import BiosegError, Box, Case, Mask, Picture, Problem

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Look:
    """One judged case, on the grid it is judged on.

    Attributes:
        case: Which.
        picture: [rows, cols] or [rows, cols, 3] in [0, 1].
        truth: [rows, cols].
        found: What the model says.
        spacing_mm: Of that grid; None if unknown.
        seconds: From the read picture to the finished prediction.
    """

    case: Case
    picture: Picture
    truth: Mask
    found: Prediction
    spacing_mm: tuple[float, float] | None
    seconds: float


def look(predictor: Predictor, case: Case) -> Look:
    """Read, prepare and predict one case.

    Raises:
        BiosegError: Its picture or mask cannot be used.
    """
    how = predictor.recipe.preparation
    stored = reading.read_picture(case)
    started = time.perf_counter()
    if predictor.recipe.judged_on == "prepared":
        picture, placement = predictor.prepare(stored)
        found = predictor.predict_prepared(picture)
        seconds = time.perf_counter() - started
        truth = targets.draw(case, placement, how)[0]
        shown = picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0)
        return Look(case, shown, truth, found, None, seconds)
    found = predictor.predict(stored)
    seconds = time.perf_counter() - started
    truth = reading.read_mask(case, stored.pixels.shape[:2])
    return Look(case, prepare.to_unit(stored, how), truth, found, stored.spacing_mm, seconds)


def judge(
    predictor_of: Callable[[Case], Predictor],
    cases: Sequence[Case],
    out: Path,
    *,
    progress: Progress = lambda done, total: None,
) -> tuple[dict[str, Any], list[Problem]]:
    """Score every case and write ``scores.csv``, ``summary.json`` and ``figures/``.

    Args:
        predictor_of: The model to use for a case; in cross-validation the fold that has not seen it.
        cases: With truth.
        out: Folder to write to.
        progress: Told (done, total).

    Returns:
        The summary, and the cases that could not be judged.

    Raises:
        BiosegError: None of the cases could be judged.
    """
    rows, problems, seconds = [], [], []
    for done, case in enumerate(cases, 1):
        try:
            seen = look(predictor_of(case), case)
            rows.append(_row(seen, predictor_of(case)))
            seconds.append(seen.seconds)
        except BiosegError as fault:
            problems.append(Problem(case.picture, str(fault)))
        progress(done, len(cases))
    if not rows:
        raise BiosegError(f"{out}: none of {len(cases)} cases could be judged; the first: {problems[0].reason}")
    summary.write_csv(rows, out / "scores.csv")
    result = summary.summarise(rows) | {"prediction_ms": 1000 * float(np.median(seconds))}
    files.write_json(out / "summary.json", result)
    _draw(rows, {case.id: case for case in cases}, predictor_of, out / "figures")
    return result, problems


def true_boxes(case: Case, truth: Mask) -> tuple[Box, ...]:
    """The case's own boxes, or those around the parts of its mask."""
    return find_boxes(truth, truth.astype(np.float32), Boxes()) if case.boxes is None else case.boxes


def _row(seen: Look, predictor: Predictor) -> summary.Row:
    found = seen.found
    scores = summary.score_case(found.mask, seen.truth, spacing_mm=seen.spacing_mm)
    if found.labels is not None:
        scores |= instances.instance_scores(found.labels, reading.read_labels(seen.case, seen.truth.shape))
    if found.boxes is not None:
        scores["rsna_score"] = detection.picture_score(found.boxes, true_boxes(seen.case, seen.truth))
    if found.quality is not None:
        scores |= {"quality": found.quality.score, "flagged": float(found.quality.flagged)}
    if predictor.recipe.reference_scores:
        scores |= predictor.recipe.reference_scores(found.probability, found.mask, seen.truth)
    return summary.Row(seen.case.id, seen.case.patient, seen.case.source, scores)


def _draw(
    rows: Sequence[summary.Row], cases: dict[str, Case], predictor_of: Callable[[Case], Predictor], folder: Path
) -> None:
    """Figures of the cases chosen by their Dice; the few that are shown are predicted again."""

    def shown(chosen: Iterable[summary.Row]) -> list[figures.Shown]:
        seen = [(row, look(predictor_of(cases[row.case]), cases[row.case])) for row in chosen]
        return [
            figures.Shown(
                row.case, one.picture, one.truth, one.found.mask, row.scores["dice"], one.found.labels,
                None if one.found.boxes is None else (one.found.boxes, true_boxes(one.case, one.truth)),
            )
            for row, one in seen
        ]  # fmt: skip

    defined = [row for row in rows if not math.isnan(row.scores["dice"])]  # rightly empty pictures say little
    ranked = sorted(defined or rows, key=lambda row: row.scores["dice"])
    middle = np.random.default_rng(0).permutation(len(rows))
    some = shown(rows[index] for index in middle[:6])
    worst = shown(ranked[:6])
    figures.save(figures.rows(shown(_of_each_band(rows))), folder / "rows.png")
    figures.save(figures.confusion_overlay(some), folder / "confusion.png")
    figures.save(figures.overlays(some), folder / "overlays.png")
    figures.save(figures.overlays(worst), folder / "worst.png")
    how = predictor_of(cases[rows[0].case]).recipe.postprocess
    if how.instances:
        figures.save(object_figures.objects(some[:4]), folder / "objects.png")
    if how.boxes:
        figures.save(object_figures.boxes(shown(rows[index] for index in middle[:32])), folder / "boxes.png")
    trio = [ranked[-1], ranked[len(ranked) // 2], ranked[0]]
    figures.save(figures.best_median_worst(shown(trio)), folder / "best-median-worst.png")
    figures.save(figures.distribution(rows), folder / "distribution.png")
    if trust.judged(rows):
        figures.save(trust.rejection(rows), folder / "trust.png")
    shares = {cell: float(np.mean([row.scores[f"share_{cell}"] for row in rows])) for cell in ("tp", "fp", "fn", "tn")}
    figures.save(figures.confusion_matrix(shares), folder / "confusion-matrix.png")


def _of_each_band(rows: Sequence[summary.Row], count: int = 4) -> list[summary.Row]:
    """One case of each IoU band that has any, .85 to .9, .9 to .95, .95 to 1, and others by lot up to ``count``."""
    lot = [rows[index] for index in np.random.default_rng(1).permutation(len(rows))]
    bands = ((0.85, 0.9), (0.9, 0.95), (0.95, 1.01))
    chosen = [next((row for row in lot if low <= row.scores["iou"] < high), None) for low, high in bands]
    first = [row for row in chosen if row is not None]
    return [*first, *(row for row in lot if row not in first)][:count]
