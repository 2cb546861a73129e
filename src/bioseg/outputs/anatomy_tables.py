"""``anatomy.csv``, a row for every image, and ``series.csv``, volumes over slices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bioseg import files
from bioseg.outputs import series
from bioseg.outputs.anatomy import Measures, columns_of
from bioseg.outputs.structures import Structure
from bioseg.types import BiosegError, Problem

ANATOMY, SERIES = "anatomy.csv", "series.csv"


@dataclass
class AnatomyTables:
    """Measurements by the image they belong to; threads may add to it.

    Attributes:
        structure: What the model segments.
        names: Of its classes, where it has several.
        rows: Path of the image → row of ``anatomy.csv``.
    """

    structure: Structure
    names: tuple[str, ...] = ()
    rows: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """Of ``anatomy.csv``; empty where nothing is measured of the structure, and no table is written."""
        own = columns_of(self.structure, self.names)
        return ("file", *own) if own else ()

    def add(self, path: str, measured: Measures) -> None:
        """The row of one image, in place of the one it had."""
        self.rows[path] = {"file": path, **measured}

    def write(self, out: Path, order: Sequence[str]) -> list[Problem]:
        """Write both tables for the images in ``order``; ``series.csv`` where there is a series. Returns what failed."""
        if not self.columns:
            return []
        rows = [self.rows[path] for path in order if path in self.rows]
        stacks = series.volumes(self.structure.name, rows)
        problems = []
        tables: list[tuple[str, tuple[str, ...], Sequence[Mapping[str, Any]]]] = [(ANATOMY, self.columns, rows)]
        if stacks or (out / SERIES).exists():
            tables.append((SERIES, (*series.COLUMNS, *series.VOLUMES[self.structure.name], "reason"), stacks))
        for name, columns, lines in tables:
            try:
                files.write_csv(out / name, columns, [[line[column] for column in columns] for line in lines])
            except BiosegError as fault:
                problems.append(Problem(out / name, str(fault)))
        return problems


def read_anatomy(out: Path, structure: Structure, names: tuple[str, ...] = ()) -> AnatomyTables:
    """The rows that lie in ``out``, of an earlier prediction by the same model.

    Raises:
        BiosegError: The table is damaged, or of another version.
    """
    tables = AnatomyTables(structure, names)
    if tables.columns and (out / ANATOMY).exists():
        rows = files.read_csv(out / ANATOMY)
        if rows and tuple(rows[0]) != tables.columns:
            raise BiosegError(f"{out / ANATOMY}: has other columns than this version writes; choose another --out")
        tables.rows |= {row["file"]: row for row in rows}
    return tables
