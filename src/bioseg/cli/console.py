"""What a person sees while bioseg works. Results go to standard output, progress and errors to standard error."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

EPOCH = {
    "loss": "loss", "validation_loss": "validation loss", "dice": "Dice", "iou": "IoU", "cycle": "cycle",
    "identity": "identity", "adversarial": "adversarial", "discriminators": "discriminators",
    "monitored_cycle": "monitored cycle",
}  # fmt: skip
"""Columns of the journal that are shown, and their names."""

SHOWN = {
    "dice": "Dice", "iou": "IoU", "precision": "precision", "recall": "recall", "accuracy": "accuracy",
    "surface_dice": "surface Dice", "hd95_px": "HD95, px", "hd95_mm": "HD95, mm", "ap": "AP", "ap50": "AP at .50",
    "rsna_score": "RSNA score",
}  # fmt: skip
"""Scores of the printed table, and their names."""

NARROW = 100
"""Terminals of fewer columns get shorter bars."""


class Screen:
    """Lines, tables and, inside ``with``, one progress bar for each piece of work."""

    def __init__(self) -> None:
        """Without ``with`` there are no bars."""
        self._out, self._error = Console(highlight=False), Console(stderr=True, highlight=False)
        self._progress = Progress(
            *_columns(narrow=self._error.width < NARROW),
            console=self._error,
            transient=False,
            disable=not self._error.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "Screen":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def progress(self, what: str, done: int, total: int, note: str) -> None:
        """Move the bar of ``what``; a note longer than what is left of the line is cut short."""
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total, note="")
        before_note = max(len(what), 10) + 2 * len(str(total)) + (34 if self._error.width < NARROW else 52)
        short = shortened(note, self._error.width - before_note)
        self._progress.update(self._tasks[what], completed=done, total=total, note=escape(short))

    def epoch(self, name: str, row: dict[str, Any]) -> None:
        """Print the main numbers of an epoch's row of the journal."""
        numbers = [f"{words} {row[key]:.4f}" for key, words in EPOCH.items() if isinstance(row.get(key), float)]
        best = " · best so far" if row.get("best") and "validation_loss" in row else ""
        self.log(f"{name}: epoch {row['epoch']:>3} · {' · '.join(numbers)} · {row['seconds']:.1f} s{best}")

    def log(self, text: str) -> None:
        """Print text, above the bars while there are any."""
        (self._progress.console if self._progress.live.is_started else self._out).print(
            text, markup=False, soft_wrap=True
        )

    def error(self, text: str) -> None:
        """Print a line about something that went wrong."""
        self._error.print(f"[bold red]bioseg:[/] {escape(text)}", soft_wrap=True)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table."""
        table = Table(*head)
        for row in rows:
            table.add_row(*map(escape, row))
        self._out.print(table)

    def scores(self, summary: dict[str, Any], what: str) -> None:
        """Print the main scores of a summary with their intervals, and whether the model knew some of the cases."""
        rows = [
            [
                name,
                f"{score['mean']:.4f} ± {score['sd']:.4f}",
                interval(score["ci95"]),
                f"{score['median']:.4f}",
                f"{score['worst']:.4f}",
            ]
            for key, name in (SHOWN | _of_classes(summary)).items()
            if (score := summary.get(key)) and is_number(score["mean"])
        ]
        self.log(f"{summary['cases']} {what}")
        self.table(["score", "mean ± SD", "95 % interval", "median", "worst"], rows)


def _of_classes(summary: dict[str, Any]) -> dict[str, str]:
    """The Dice of each of several classes, and its name."""
    return {key: f"Dice, {key.removeprefix('dice:')}" for key in summary if key.startswith("dice:")}


def interval(bounds: Sequence[float | None], pattern: str = ".4f") -> str:
    """A 95 % interval over patients in words; with one patient there is none."""
    low, high = bounds
    return f"{low:{pattern}} … {high:{pattern}}" if is_number(low) else "one patient only"


def is_number(value: float | None) -> bool:
    """Whether a score is defined: in memory an undefined one is NaN, read from JSON it is None."""
    return value is not None and value == value


def shortened(text: str, room: int) -> str:
    """``text``, cut to ``room`` characters."""
    return text if len(text) <= room else f"{text[: room - 1]}…" if room > 1 else ""


def _columns(*, narrow: bool) -> list[ProgressColumn]:
    """A bar's parts; with the note they fill at most a line of 80 characters if ``narrow``."""
    times: list[ProgressColumn] = [TextColumn("left"), TimeRemainingColumn()]
    return [
        TextColumn("{task.description:>10}"),
        BarColumn(bar_width=14 if narrow else 24),
        MofNCompleteColumn(),
        *(times if narrow else [TimeElapsedColumn(), *times]),
        TextColumn("{task.fields[note]}"),
    ]
