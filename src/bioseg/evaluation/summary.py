"""Scores of all cases: their table, and its summary in means, spread, intervals and paired differences."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bioseg import files
from bioseg.evaluation.overlap import standard_scores
from bioseg.evaluation.surface import surface_scores
from bioseg.types import BiosegError, Mask

DRAWS = 2000
LOWER_IS_BETTER = frozenset({"hd95_mm", "hd95_px"})
KEYS = ("case", "patient", "source")
LARGEST = 1e9
"""No score, distance or time is larger."""


@dataclass(frozen=True)
class Row:
    """One case's scores; an undefined one is NaN."""

    case: str
    patient: str
    source: str
    scores: dict[str, float]


def score_case(predicted: Mask, truth: Mask, *, spacing_mm: tuple[float, float] | None = None) -> dict[str, float]:
    """All standard scores of two masks [rows, cols] on one grid; distances in mm where spacing is known."""
    return standard_scores(predicted, truth) | surface_scores(predicted, truth, spacing_mm=spacing_mm)


def lower_is_better(score: str) -> bool:
    """Whether a score, of one class (``hd95_mm:heart``) or of all, is a distance."""
    return score.partition(":")[0] in LOWER_IS_BETTER


def write_csv(rows: Iterable[Row], path: Path) -> None:
    """Write one line per case; an undefined score is empty."""
    rows = list(rows)
    names = _names(rows)
    values = ([row.scores.get(name, float("nan")) for name in names] for row in rows)
    lines = (
        (row.case, row.patient, row.source, *("" if v != v else f"{v:.6g}" for v in scores))
        for row, scores in zip(rows, values, strict=True)
    )
    files.write_csv(path, (*KEYS, *names), lines)


def read_csv(path: Path) -> list[Row]:
    """The rows that :func:`write_csv` wrote, at least one.

    Raises:
        BiosegError: The file is missing, is another kind of table, or a score in it is not a number.
    """
    lines = files.read_csv(path)
    remedy = "give a folder that train or evaluate wrote"
    if not lines:
        raise BiosegError(f"{path}: a table without cases; {remedy}")
    columns = [*lines[0]]
    if missing := [key for key in KEYS if key not in columns]:
        raise BiosegError(f"{path}: no column {missing[0]!r}, so not a table of scores; {remedy}")
    if "quality" in columns and "flagged" not in columns:
        raise BiosegError(f"{path}: has a column quality and none called flagged; {remedy}")
    rows, known = [], set[str]()
    for number, line in enumerate(lines, 2):
        scores = {name: _score(line[name], f"{path}: line {number}: {name}") for name in columns if name not in KEYS}
        if line["case"] in known:
            raise BiosegError(f"{path}: line {number}: case {line['case']!r} stands there twice; {remedy}")
        known.add(line["case"])
        rows.append(Row(line["case"], line["patient"], line["source"], scores))
    return rows


def _score(text: str, where: str) -> float:
    """The number of a cell; NaN where it is empty."""
    try:
        value = float(text or "nan")
    except ValueError:
        value = LARGEST + 1
    if (text and value != value) or abs(value) > LARGEST:
        raise BiosegError(f"{where}: {text[:40]!r} is not a score; evaluate the model again")
    return value


def summarise(rows: Sequence[Row], *, seed: int = 0) -> dict[str, Any]:
    """Summarise the scores of all cases.

    Returns:
        ``{"cases": n, "patients": m, "dice": {"mean", "sd", "median", "p5", "worst", "worst_case", "ci95": [low, high],
        "undefined"}, …}``. ``sd`` divides by n − 1. ``p5`` is the 5th percentile of the cases, the 95th where lower is
        better. ``ci95`` is the percentile interval of the mean over 2,000 bootstrap draws of whole patients (Field & Welsh
        2007); NaN with fewer than two patients. NaN scores are left out and counted as ``undefined``.
    """
    result: dict[str, Any] = {"cases": len(rows), "patients": len({row.patient for row in rows})}
    patients = _patient_numbers(rows)
    for name in _names(rows):
        values = np.array([row.scores.get(name, np.nan) for row in rows])
        result[name] = _describe(name, values, patients, rows, seed)
    return result


def compare(first: Sequence[Row], second: Sequence[Row], *, score: str = "dice", seed: int = 0) -> dict[str, Any]:
    """Paired difference (second − first) over the cases both have and where both are defined.

    Returns:
        ``{"score", "cases", "difference", "ci95": [low, high], "better", "worse", "equal"}``; ``better`` counts cases in
        which the second run is the better one. The interval is drawn by patient as in :func:`summarise`.

    Raises:
        BiosegError: They share no case.
    """
    other = {row.case: row for row in second}
    pairs = [(row, other[row.case]) for row in first if row.case in other]
    pairs = [(a, b) for a, b in pairs if not np.isnan(a.scores.get(score, np.nan) + b.scores.get(score, np.nan))]
    if not pairs:
        raise BiosegError(
            f"the two runs share no case with a {score}; compare runs that were evaluated on the same images"
        )
    change = np.array([b.scores[score] - a.scores[score] for a, b in pairs])
    gain = -change if lower_is_better(score) else change
    return {
        "score": score,
        "cases": len(pairs),
        "difference": float(change.mean()),
        "ci95": _interval(change, _patient_numbers([a for a, _ in pairs]), seed),
        "better": int((gain > 0).sum()),
        "worse": int((gain < 0).sum()),
        "equal": int((gain == 0).sum()),
    }


def _names(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.scores))


def _patient_numbers(rows: Sequence[Row]) -> NDArray[np.int64]:
    return np.unique([row.patient for row in rows], return_inverse=True)[1]


def _describe(
    name: str, values: NDArray[np.float64], patients: NDArray[np.int64], rows: Sequence[Row], seed: int
) -> dict[str, Any]:
    there = ~np.isnan(values)
    if not there.any():
        nothing = float("nan")
        return {"mean": nothing, "sd": nothing, "median": nothing, "p5": nothing, "worst": nothing, "worst_case": None,
                "ci95": [nothing, nothing], "undefined": len(rows)}  # fmt: skip
    known, lower = values[there], lower_is_better(name)
    worst = int(np.nanargmax(values) if lower else np.nanargmin(values))
    return {
        "mean": float(known.mean()),
        "sd": float(known.std(ddof=1)) if len(known) > 1 else 0.0,
        "median": float(np.median(known)),
        "p5": float(np.percentile(known, 95 if lower else 5)),
        "worst": float(values[worst]),
        "worst_case": rows[worst].case,
        "ci95": _interval(known, patients[there], seed),
        "undefined": int((~there).sum()),
    }


def _interval(values: NDArray[np.float64], patients: NDArray[np.int64], seed: int) -> list[float]:
    """Each draw takes as many patients as there are, with replacement, and all of their cases."""
    numbers = np.unique(patients, return_inverse=True)[1]
    count = int(numbers.max()) + 1
    if count < 2:
        return [float("nan"), float("nan")]
    sums, sizes = np.bincount(numbers, values), np.bincount(numbers)
    drawn = np.random.default_rng(seed).integers(0, count, (DRAWS, count))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    return [float(bound) for bound in np.percentile(means, (2.5, 97.5))]
