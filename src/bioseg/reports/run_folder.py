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
from bioseg.types import BiosegError


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
        return {path.stem: base64.b64encode(path.read_bytes()).decode() for path in paths}

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
    record, summary = _json(folder / "record.json"), _json(folder / "summary.json")
    if not record and not summary:
        raise BiosegError(f"{folder}: no record.json and no summary.json; give a folder that train or evaluate wrote")
    places = sorted(folder.glob("fold-*"), key=lambda place: (len(place.name), place.name)) or [folder]
    table = folder / "scores.csv"
    return Run(
        folder,
        record,
        summary,
        _json(folder / "test" / "summary.json"),
        read_csv(table) if table.exists() else [],
        [(_json(place / "record.json"), read_journal(place / "journal.jsonl")) for place in places],
    )


def _json(path: Path) -> dict[str, Any]:
    return dict(files.read_json(path, "write it anew with train or evaluate")) if path.exists() else {}


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The rows of a ``journal.jsonl``, an epoch each; none where there is no such file.

    Raises:
        BiosegError: It is damaged.
    """
    try:
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    except ValueError as reason:
        raise BiosegError(
            f"{path}: not a journal ({reason}); go on with the run by --resume, which writes it anew"
        ) from None
