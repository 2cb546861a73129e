"""A table with notes as Markdown, CSV and a page, of the same words."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bioseg import files
from bioseg.reports import templates


@dataclass(frozen=True)
class Table:
    """Texts, already formatted.

    Attributes:
        title: Above it.
        lead: One paragraph under the title.
        head: One name per column.
        rows: One text per column each; a line break inside a cell is kept.
        notes: Below it, one line each.
    """

    title: str
    lead: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def write(table: Table, stem: Path) -> list[Path]:
    """Write ``<stem>.md``, ``<stem>.csv`` (head and rows alone) and ``<stem>.html``."""
    made = {".md": markdown(table), ".csv": _csv(table), ".html": _page(table)}
    for suffix, text in made.items():
        files.write(stem.with_suffix(suffix), text)
    return [stem.with_suffix(suffix) for suffix in made]


def markdown(table: Table) -> str:
    """The table as GitHub's Markdown."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", "<br>") for cell in cells) + " |"

    body = [line(table.head), "|" + "---|" * len(table.head), *map(line, table.rows)]
    notes = [f"- {note}" for note in table.notes]
    return "\n".join([f"# {table.title}", "", table.lead, "", *body, "", *notes]).rstrip() + "\n"


def _csv(table: Table) -> str:
    return files.csv_text(table.head, ([cell.replace("\n", "; ") for cell in row] for row in table.rows))


def _page(table: Table) -> str:
    return templates.environment().get_template("table.html").render(table=table)
