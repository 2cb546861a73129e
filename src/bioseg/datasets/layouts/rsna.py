"""RSNA pneumonia challenge: ``stage_2_train_images/<patientId>.dcm`` and ``stage_2_train_labels.csv``, a row per box."""

from pathlib import Path

from bioseg import files
from bioseg.datasets.layouts.common import root_with
from bioseg.types import BiosegError, Box, Case

TABLE = "stage_2_train_labels.csv"


def list_cases(folder: Path) -> list[Case]:
    """Images of the table that are there, each with its boxes, none where Target is 0.

    Raises:
        OtherLayoutError: Neither ``folder`` nor ``folder/rsna`` holds the table.
        BiosegError: The table has other columns.
    """
    root = root_with(folder, TABLE, "rsna")
    boxes = read_boxes(root / TABLE)
    images = sorted((root / "stage_2_train_images").glob("*.dcm"))
    return [
        Case(id=image.stem, patient=image.stem, image=image, boxes=boxes[image.stem], source="RSNA")
        for image in images
        if image.stem in boxes
    ]


def read_boxes(table: Path) -> dict[str, tuple[Box, ...]]:
    """The boxes of every patient in a label table, in px of the 1024×1024 images.

    Raises:
        BiosegError: It has other columns, or a coordinate is no number.
    """
    boxes: dict[str, tuple[Box, ...]] = {}
    for row in files.read_csv(table):
        try:
            there = boxes.setdefault(row["patientId"], ())
            if row["Target"] == "1":
                boxes[row["patientId"]] = (*there, Box(*(float(row[name]) for name in ("x", "y", "width", "height"))))
        except (KeyError, ValueError) as fault:
            raise BiosegError(f"{table}: {fault} in {dict(row)}; expected patientId,x,y,width,height,Target") from None
    return boxes
