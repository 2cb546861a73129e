"""What lies in a run folder, read for its report."""

import base64
import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bioseg import files
from bioseg.evaluation.summary import Row, read_csv
from bioseg.record import RECORD, journal_rows, read_fields
from bioseg.specs import Whole, mismatch, shown
from bioseg.types import BiosegError

SUMMARY = "summary.json"
AGAIN = "write it again with train or evaluate"

Number = float | None
FIELDS = {"cases": Whole, "patients": Whole, "prediction_ms": Number, "seen": dict[str, Whole] | None}
SCORE = {
    "mean": Number, "sd": Number, "median": Number, "p5": Number, "worst": Number, "worst_case": str | None,
    "ci95": list[Number], "undefined": Whole,
}  # fmt: skip
"""What ``summary.json`` holds, and what it holds of each score."""
SCORES = ("dice", "iou", "hd95_mm", "hd95_px")
"""Scores that the page names."""


@dataclass(frozen=True, eq=False)
class Run:
    """What a run folder holds, as the page needs it; what is missing is empty.

    Attributes:
        folder: Where.
        record: ``record.json``.
        summary: ``summary.json``.
        test: ``test/summary.json``, of a test part that neither taught the network nor chose its weights.
        table: ``scores.csv``.
        folds: (fold's record, its journal); a run without folds is one fold.
    """

    folder: Path
    record: dict[str, Any]
    summary: dict[str, Any]
    test: dict[str, Any]
    table: list[Row]
    folds: list[tuple[dict[str, Any], list[dict[str, Any]]]]

    @property
    def name(self) -> str:
        """The folder's."""
        return self.folder.resolve().name

    @property
    def recipe(self) -> dict[str, Any]:
        """As JSON values."""
        return dict(self.record.get("recipe", {}))

    @property
    def recipe_json(self) -> str:
        """For reading."""
        return json.dumps(self.recipe, indent=2, ensure_ascii=False)

    @property
    def dice(self) -> dict[str, Any]:
        """Summary of the main score; empty if the run was not evaluated."""
        return dict(self.summary.get("dice", {}))

    @property
    def journals(self) -> list[list[dict[str, Any]]]:
        """Of the folds that have one."""
        return [journal for _, journal in self.folds if journal]

    @property
    def minutes(self) -> float:
        """Spent training, all folds together."""
        return sum(float(row.get("seconds", 0)) for journal in self.journals for row in journal) / 60

    @cached_property
    def figures(self) -> dict[str, str]:
        """PNGs that are there, base64, by name."""
        paths = sorted((self.folder / "figures").glob("*.png"))
        return {path.stem: base64.b64encode(files.read_bytes(path, AGAIN)).decode() for path in paths}

    @property
    def ranked(self) -> list[Row]:
        """Cases with a Dice, the worst first."""
        rows = [row for row in self.table if not math.isnan(row.scores.get("dice", math.nan))]
        return sorted(rows, key=lambda row: row.scores["dice"])


def read_run(folder: Path) -> Run:
    """All files of a run folder that are there.

    Raises:
        BiosegError: Neither record nor summary is, or one is damaged.
    """
    record, summary = _record(folder), read_summary(folder / SUMMARY)
    if not record and not summary:
        raise BiosegError(f"{folder}: no record.json and no summary.json; give a folder that train or evaluate wrote")
    folds = [place for place in folder.glob("fold-*") if place.is_dir()]
    places = sorted(folds, key=lambda place: (len(place.name), place.name)) or [folder]
    table = folder / "scores.csv"
    rows = read_csv(table) if table.exists() else []
    if rows and "dice" not in rows[0].scores:
        raise BiosegError(f"{table}: no column 'dice'; evaluate the model again")
    journals = [read_journal(place / "journal.jsonl") for place in places]
    for place, journal in zip(places, journals, strict=True):
        if journal and (missing := [name for name in ("loss", "validation_loss", "seconds") if name not in journal[0]]):
            raise BiosegError(f"{place / 'journal.jsonl'}: no {missing[0]!r}; is this the run of a segmentation model?")
    test = read_summary(folder / "test" / SUMMARY)
    return Run(folder, record, summary, test, rows, list(zip(map(_record, places), journals, strict=True)))


def read_summary(path: Path) -> dict[str, Any]:
    """What :func:`bioseg.evaluation.summary.summarise` said, and what stands beside it; empty where there is no such file.

    Raises:
        BiosegError: It is damaged, or a score in it is not described as it should be.
    """
    if not path.exists():
        return {}
    found = files.read_json(path, AGAIN)
    if not isinstance(found, dict):
        raise BiosegError(f"{path}: holds {shown(found)}; {AGAIN}")
    for field, hint in FIELDS.items():
        if fault := mismatch(found.get(field), hint):
            raise BiosegError(f"{path}: {field}: {shown(found.get(field))}; {fault}")
    for name, score in found.items():
        if name in SCORES or (isinstance(score, dict) and "mean" in score):
            _check_score(score, f"{path}: {name}")
    return found


def _check_score(score: Any, where: str) -> None:
    if not isinstance(score, dict) or (missing := sorted(SCORE.keys() - score.keys())):
        raise BiosegError(f"{where}: {shown(score) if not isinstance(score, dict) else 'no ' + missing[0]}; {AGAIN}")
    for field, hint in SCORE.items():
        if fault := mismatch(score[field], hint):
            raise BiosegError(f"{where}.{field}: {shown(score[field])}; {fault}")
    if len(score["ci95"]) != 2 or len({bound is None for bound in score["ci95"]}) > 1:
        raise BiosegError(f"{where}.ci95: {shown(score['ci95'])}; give two numbers, or two times null")
    if len({score[field] is None for field in ("mean", "sd", "median", "p5", "worst")}) > 1:
        raise BiosegError(f"{where}: some of mean, sd, median, p5 and worst are null; give all or none")


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The rows of a ``journal.jsonl``, an epoch each; none where there is no such file.

    Raises:
        BiosegError: It is damaged.
    """
    if not path.exists():
        return []
    remedy = "continue the run with --resume, which writes it again"
    lines = files.read_text(path, remedy).splitlines()
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(files.parse_json(line, finite=False))
        except ValueError as fault:
            raise BiosegError(f"{path}: line {number} is not JSON ({fault}); {remedy}") from None
    return journal_rows(rows, str(path))


def _record(folder: Path) -> dict[str, Any]:
    return read_fields(folder) if (folder / RECORD).exists() else {}
