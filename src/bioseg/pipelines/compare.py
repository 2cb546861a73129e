"""Runs side by side: each against the first, case by case, with intervals."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bioseg.evaluation.summary import Row, compare, read_csv, summarise
from bioseg.types import BiosegError

TABLE = "scores.csv"


def compare_runs(runs: Sequence[Path], *, score: str = "dice") -> list[dict[str, Any]]:
    """Mean of a score in every run, and the paired difference to the first run over the cases both evaluated.

    Args:
        runs: Folders that train or evaluate wrote; their test parts are compared if all have one.
        score: A column of ``scores.csv``.

    Returns:
        A row a run: ``run``, ``cases``, ``mean``, ``sd``, ``ci95``; from the second on ``difference``,
        ``difference_ci95``, ``shared``, ``better``, ``worse``.

    Raises:
        BiosegError: A folder has no scores, no run knows the score, or two runs share no case.
    """
    tested = all((run / "test" / TABLE).exists() for run in runs)
    tables = [_table(run / "test" if tested else run) for run in runs]
    rows: list[dict[str, Any]] = []
    for run, table in zip(runs, tables, strict=True):
        known = summarise(table)
        if score not in known:
            raise BiosegError(f"{run}: has no score {score!r}; there are {', '.join(table[0].scores)}")
        one = known[score]
        row = {"run": str(run), "cases": known["cases"], **{key: one[key] for key in ("mean", "sd", "ci95")}}
        if rows:
            pair = compare(tables[0], table, score=score)
            row |= {"difference": pair["difference"], "difference_ci95": pair["ci95"], "shared": pair["cases"]}
            row |= {key: pair[key] for key in ("better", "worse")}
        rows.append(row)
    return rows


def _table(folder: Path) -> list[Row]:
    if not (folder / TABLE).exists():
        raise BiosegError(f"{folder}: no {TABLE}; give a folder that train or evaluate wrote")
    return read_csv(folder / TABLE)
