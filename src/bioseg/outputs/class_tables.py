"""``class_measurements.csv``, a row for every class of every image, and ``classes.csv``, which names the values in the masks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bioseg import files
from bioseg.classes import COLOURS, Classes
from bioseg.images.formats import RawImage
from bioseg.outputs.measure import MEASURED, Values, measure
from bioseg.postprocess.masks import Prediction
from bioseg.types import BiosegError, Problem

BY_CLASS, NAMES = "class_measurements.csv", "classes.csv"
OF_CLASS = ("area_px", "area_mm2", "area_um2", "spacing_from", "components", "mean_probability")
"""Columns of ``measurements.csv`` that are measured for each class too."""
COLUMNS = ("file", "class", *OF_CLASS)


@dataclass
class ClassTables:
    """Measurements of classes by the image they belong to; threads may add to it.

    Attributes:
        classes: Of the model; nothing is written where there is one only.
        rows: Path of the image → rows of ``class_measurements.csv``.
    """

    classes: Classes
    rows: dict[str, list[Values]] = field(default_factory=dict)

    def add(self, path: str, prediction: Prediction, raw_image: RawImage) -> None:
        """The rows of one image, in place of those it had."""
        if self.classes.several:
            each = prediction.classes.items()
            self.rows[path] = [
                (path, name, *of_class(Prediction(o.mask, o.probability), raw_image)) for name, o in each
            ]

    def write(self, out: Path, order: Sequence[str]) -> list[Problem]:
        """Write both tables for the images in ``order``; returns what failed."""
        if not self.classes.several:
            return []
        lines = [row for path in order for row in self.rows.get(path, ())]
        names = [
            (name, value, "#{:02x}{:02x}{:02x}".format(*COLOURS[(value - 1) % len(COLOURS)]))
            for value, name in enumerate(self.classes.names, 1)
        ]
        problems = []
        for table, columns, rows in ((BY_CLASS, COLUMNS, lines), (NAMES, ("name", "value", "shown_as"), names)):
            try:
                files.write_csv(out / table, columns, rows)
            except BiosegError as fault:
                problems.append(Problem(out / table, str(fault)))
        return problems


def of_class(prediction: Prediction, raw_image: RawImage) -> Values:
    """The values of :data:`OF_CLASS` for the mask of one class."""
    measured = dict(zip(MEASURED, measure(prediction, raw_image), strict=True))
    return tuple(measured[name] for name in OF_CLASS)


def read_class_tables(out: Path, classes: Classes) -> ClassTables:
    """The rows that lie in ``out``, of an earlier prediction by the same model.

    Raises:
        BiosegError: The table is damaged, or of another version.
    """
    tables = ClassTables(classes)
    if classes.several and (out / BY_CLASS).exists():
        for row in files.read_csv(out / BY_CLASS):
            if tuple(row) != COLUMNS:
                raise BiosegError(f"{out / BY_CLASS}: has other columns than this version writes; choose another --out")
            tables.rows.setdefault(row["file"], []).append(tuple(row.values()))
    return tables
