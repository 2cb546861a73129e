"""Segment files and folders: a mask per image, and tables of measurements."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bioseg import files
from bioseg.datasets import folders
from bioseg.images import formats
from bioseg.inference.predictor import Predictor
from bioseg.outputs.measure import COLUMNS, OBJECT_COLUMNS, Values, measure, measure_objects
from bioseg.outputs.names import name_outputs
from bioseg.pipelines.output_folder import refuse_foreign, refuse_other_run
from bioseg.pipelines.stream import Predicted, stream
from bioseg.types import SILENT, BiosegError, Box, Callbacks, Case, Problem

SUBMISSION = ("patientId", "PredictionString")


@dataclass
class Tables:
    """Rows of the tables, in the order of the images."""

    images: list[Values] = field(default_factory=list)
    objects: list[Values] = field(default_factory=list)
    boxes: list[Values] = field(default_factory=list)


def find_images(paths: Iterable[Path]) -> list[Case]:
    """The files among ``paths`` and, sorted, the images in the folders among them, without masks that lie there too.

    Raises:
        BiosegError: A path does not exist, or none holds an image.
    """
    found: dict[Path, Case] = {}
    for path in paths:
        if path.is_dir():
            for case in folders.list_images(path):
                found.setdefault(case.path, case)
        elif path.exists():
            found.setdefault(path, folders.case_of(path))
        else:
            raise BiosegError(f"{path}: no such file or folder")
    if not found:
        raise BiosegError(
            f"{', '.join(map(str, paths))}: no image found; bioseg reads {' '.join(sorted(formats.SUFFIXES))}"
        )
    return list(found.values())


def predict(
    predictor: Predictor, cases: Sequence[Case], out: Path, *, probabilities: bool = False,
    callbacks: Callbacks = SILENT,
) -> tuple[int, list[Problem]]:  # fmt: skip
    """Write ``<stem>.png`` (0/255) for every image and ``measurements.csv``; one bad image stops no other.

    A model that separates objects writes ``<stem>.labels.png`` (16 bit, one number per object) and ``objects.csv`` too, one
    that draws boxes ``submission.csv``, as the RSNA challenge wants it. If it is interrupted, the tables cover what was done.

    Args:
        predictor: The model.
        cases: See :func:`find_images`.
        out: Folder; images of the same stem get their folder's name in front.
        probabilities: Write ``<stem>.probability.png`` too, 16 bit, 65535 for 1.
        callbacks: Hears how far it is, and how many are flagged where the model can tell.

    Returns:
        How many were segmented, and the others with the reason.

    Raises:
        BiosegError: A mask would overwrite an image it is made from, or ``out`` holds something else.
    """
    refuse_foreign(out)
    refuse_other_run(out, nothing="else")
    names = dict(zip((case.path for case in cases), name_outputs([case.path for case in cases], out), strict=True))
    tables, problems = Tables(), list[Problem]()

    def write(found: Predicted) -> tuple[Values, list[Values], list[Values]]:
        raw_image, prediction = found.prepared.raw_image, found.prediction
        path = found.prepared.case.path
        name = names[path]
        formats.write_mask(out / f"{name}.png", prediction.mask)
        if probabilities:
            formats.write_probability(out / f"{name}.probability.png", prediction.probability)
        objects: list[Values] = []
        if prediction.labels is not None:
            formats.write_labels(out / f"{name}.labels.png", prediction.labels)
            objects = [(str(path), *row) for row in measure_objects(prediction.labels, raw_image)]
        boxes: list[Values] = []
        if prediction.boxes is not None:
            boxes = [(name, prediction_string(prediction.boxes))]
        return (str(path), f"{name}.png", *measure(prediction, raw_image.spacing_mm)), objects, boxes

    with files.lock(out):
        try:
            for done, result in enumerate(stream(predictor, cases, write), 1):
                if isinstance(result, Problem):
                    problems.append(result)
                else:
                    tables.images.append(result[0])
                    tables.objects += result[1]
                    tables.boxes += result[2]
                callbacks.progress("predicting", done, len(cases), "")
        finally:
            _write_tables(out, tables, predictor)
    if predictor.quality:
        flagged = sum(bool(row[-1]) for row in tables.images)
        callbacks.log(
            f"{flagged} of {len(tables.images)} flagged for review; the reasons stand in {out / 'measurements.csv'}"
        )
    return len(tables.images), problems


def prediction_string(boxes: Sequence[Box]) -> str:
    """``confidence x y width height`` of every box, highest confidence first, separated by blanks; empty without boxes."""
    return " ".join(f"{b.confidence:.4f} {b.x:.1f} {b.y:.1f} {b.width:.1f} {b.height:.1f}" for b in boxes)


def _write_tables(out: Path, tables: Tables, predictor: Predictor) -> None:
    how = predictor.recipe.postprocess
    files.write_csv(out / "measurements.csv", COLUMNS, tables.images)
    if how.instances:
        files.write_csv(out / "objects.csv", OBJECT_COLUMNS, tables.objects)
    if how.boxes:
        files.write_csv(out / "submission.csv", SUBMISSION, tables.boxes)
