"""The tables of a prediction: measurements of every image, of every object, and boxes for the RSNA challenge."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from bioseg import files
from bioseg.outputs import groups
from bioseg.outputs.measure import COLUMNS, OBJECT_COLUMNS, Values
from bioseg.outputs.names import MASK, SUFFIXES, files_in
from bioseg.postprocess.masks import Postprocess
from bioseg.types import BiosegError, Box, Problem

MEASUREMENTS, OBJECTS, SUBMISSION = "measurements.csv", "objects.csv", "submission.csv"
BOX_COLUMNS = ("patientId", "PredictionString")


@dataclass
class Tables:
    """Rows by the image they belong to; threads may add to it.

    Attributes:
        how: Decides which tables there are.
        order: Paths of the images, as in the tables.
        images: Path → row of ``measurements.csv``.
        objects: Path → rows of ``objects.csv``.
        boxes: Path → row of ``submission.csv``.
        several: Whether the model has several classes; ``objects.csv`` then ends with the column ``class``.
    """

    how: Postprocess
    order: Sequence[str]
    images: dict[str, Values] = field(default_factory=dict)
    objects: dict[str, list[Values]] = field(default_factory=dict)
    boxes: dict[str, Values] = field(default_factory=dict)
    several: bool = False

    @property
    def object_columns(self) -> tuple[str, ...]:
        """Of ``objects.csv``."""
        return (*OBJECT_COLUMNS, "class") if self.several else OBJECT_COLUMNS

    def add(
        self, path: str, name: str, measured: Values, objects: Sequence[Values], boxes: Sequence[Box] | None, *,
        mask: bool = True,
    ) -> None:  # fmt: skip
        """The rows of one image, in place of those it had; ``mask`` says whether its mask is written too."""
        self.objects[path] = [(path, *row) for row in objects]
        self.boxes[path] = (name, prediction_string(boxes or ()))
        self.images[path] = (path, f"{name}{MASK}" if mask else "", *measured)

    def listed(self, out: Path) -> list[str]:
        """Paths of the images that have rows: those whose mask is in ``out`` or was never written."""
        masks = {path: str(row[1]) for path, row in self.images.items()}
        return [path for path in self.order if path in masks and (not masks[path] or (out / masks[path]).exists())]

    def write(self, out: Path) -> list[Problem]:
        """Write every table for the images that are :meth:`listed`; returns those that fail."""
        order = self.listed(out)
        tables: list[tuple[str, Sequence[str], list[Values]]] = [
            (MEASUREMENTS, COLUMNS, [self.images[path] for path in order])
        ]
        if self.how.instances:
            tables.append((OBJECTS, self.object_columns, [row for path in order for row in self.objects.get(path, ())]))
        if self.how.boxes:
            tables.append((SUBMISSION, BOX_COLUMNS, [self.boxes[path] for path in order if path in self.boxes]))
        named = [dict(zip(COLUMNS, self.images[path], strict=True)) for path in order]
        for name, grouped in ((groups.BY_STUDY, groups.by_study(named)), (groups.BY_PATIENT, groups.by_patient(named))):
            if grouped or (out / name).exists():
                tables.append((name, groups.COLUMNS[name], grouped))
        problems = []
        for name, columns, rows in tables:
            try:
                files.write_csv(out / name, columns, rows)
            except BiosegError as fault:
                problems.append(Problem(out / name, str(fault)))
        return problems


def read_tables(
    out: Path,
    names: Mapping[str, str],
    again: Set[str],
    how: Postprocess,
    *,
    complete: bool = True,
    several: bool = False,
) -> Tables:
    """The tables that lie in ``out``.

    Args:
        out: Folder of an earlier prediction by the same model, or an empty one.
        names: Path → name of every image, those that are predicted now too.
        again: Paths of the images that are predicted now.
        how: Of the model.
        complete: Refuse tables without a row for every image that has files.
        several: Whether the model has several classes.

    Raises:
        BiosegError: A table is damaged, or an image has no row in it and is not predicted again: its process was killed, or
            wrote no tables.
    """
    tables, path_of = Tables(how, list(names), several=several), {name: path for path, name in names.items()}
    for row in _rows(out / MEASUREMENTS, COLUMNS):
        tables.images[row[0]] = row
    for row in _rows(out / OBJECTS, tables.object_columns):
        tables.objects.setdefault(row[0], []).append(row)
    for row in _rows(out / SUBMISSION, BOX_COLUMNS):
        if path := path_of.get(row[0]):
            tables.boxes[path] = row
    there = files_in(out, names.values())
    rows = tables.images.keys() | again | {str(Path(path).parent) for path in names}  # a volume's rows are its slices'
    bare = [name for path, name in names.items() if path not in rows] if complete else []
    written = [next((name + suffix for suffix in SUFFIXES if name + suffix in there), "") for name in bare]
    if lost := list(filter(None, written)):
        raise BiosegError(
            f"--out {out}: {len(lost)} images have files and no row in {MEASUREMENTS} ({lost[0]}), since a prediction was "
            "killed or ran without csv; give its command again with csv, or choose another --out"
        )
    return tables


def prediction_string(boxes: Sequence[Box]) -> str:
    """``confidence x y width height`` of every box, highest confidence first, separated by blanks; empty without boxes."""
    return " ".join(f"{b.confidence:.4f} {b.x:.1f} {b.y:.1f} {b.width:.1f} {b.height:.1f}" for b in boxes)


def _rows(path: Path, columns: Sequence[str]) -> list[tuple[str, ...]]:
    if not path.exists():
        return []
    rows = files.read_csv(path)
    if rows and tuple(rows[0]) != tuple(columns):
        raise BiosegError(f"{path}: has other columns than this version writes; choose another --out")
    return [tuple(row.values()) for row in rows]
