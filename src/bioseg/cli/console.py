"""What a person sees while bioseg works. Results go to standard output, progress and complaints to standard error."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
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

SHOWN = ("dice", "iou", "precision", "recall", "accuracy", "surface_dice", "hd95_px", "hd95_mm")


class Screen:
    """Lines, tables and, inside ``with``, one progress bar for each piece of work."""

    def __init__(self) -> None:
        """Without ``with`` there are no bars."""
        self._out, self._error = Console(highlight=False), Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description:>10}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
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
        """Move the bar of ``what``."""
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total, note=note)
        self._progress.update(self._tasks[what], completed=done, total=total, note=escape(note))

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
        """Print the main scores of a summary with their intervals."""
        rows = []
        for name in SHOWN:
            if (score := summary.get(name)) and score["mean"] is not None:
                low, high = score["ci95"]
                interval = f"{low:.4f} … {high:.4f}" if low is not None and low == low else "one patient only"
                rows.append(
                    [
                        name,
                        f"{score['mean']:.4f} ± {score['sd']:.4f}",
                        interval,
                        f"{score['median']:.4f}",
                        f"{score['worst']:.4f}",
                    ]
                )
        self.log(f"{summary['cases']} {what}")
        self.table(["score", "mean ± SD", "95 % interval", "median", "worst"], rows)
